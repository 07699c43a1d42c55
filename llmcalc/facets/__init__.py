"""What a configuration is asked, subject by subject; each is built when it is asked for."""
