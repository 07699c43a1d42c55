"""What work costs: device-hours, energy, emissions and money; and the share of the devices' peak that it reached."""

from __future__ import annotations

from llmcalc.quantity import formula
from llmcalc.sources import CHOWDHERY_2022, PATTERSON_2021


@formula("C", "FLOP", CHOWDHERY_2022.at("sec. 4.1"))
def run_flops(*, token_flops, tokens):
    """Operations of all tokens of a run."""
    return token_flops * tokens


@formula(r"t_\text{devices}", "h", PATTERSON_2021.at("sec. 2, eq. 2"))
def device_hours(*, devices, seconds):
    """Hours that all devices together are held."""
    return devices * seconds / 3600


@formula("E", "J", PATTERSON_2021.at("sec. 2, eq. 2"))
def training_energy(*, devices, seconds, watts, power_usage_effectiveness):
    """What the devices draw at full power, and for each joule of it what the building takes."""
    return devices * seconds * watts * power_usage_effectiveness


@formula(r"m_{\text{CO}_2\text{e}}", "kg", PATTERSON_2021.at("sec. 2, eq. 3"))
def training_carbon(*, energy, grid_intensity):
    """What making so much electricity emits; a kilowatt-hour is 3.6 million joules."""
    return energy * grid_intensity / 3600000


@formula("p", "", PATTERSON_2021.at("sec. 2, eq. 2, at a price of an hour"))
def training_money(*, device_hours, price):
    """What so many hours cost at the price of a device for an hour."""
    return device_hours * price


@formula(r"\eta", "share", CHOWDHERY_2022.at("sec. 4.1, app. B"))
def flops_utilization(*, flops, devices, seconds, peak_flops):
    """The share of the devices' dense peak that operations took: of the model's alone, or of all that were done."""
    return flops / (devices * seconds * peak_flops)


@formula(r"C_\text{bought}", "FLOP", CHOWDHERY_2022.at("sec. 4.1"))
def bought_flops(*, devices, peak_flops, utilization, seconds):
    """Operations that devices do in so much time, at a part of their dense peak."""
    return devices * peak_flops * utilization / 100 * seconds
