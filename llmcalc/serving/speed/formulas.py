"""Formulas of serving speed: what a step of decoding reads, computes and sends on the device that does most, and how
long that takes at the shares of the device's peak that are reached."""

from __future__ import annotations

import numpy as np

from llmcalc.quantity import formula
from llmcalc.serving.speed.constants import FITTED
from llmcalc.sources import AGRAWAL_2024, LEVIATHAN_2022, NVIDIA, POPE_2022, SHOEYBI_2019, WILLIAMS_2009

# Work of the device that does most


@formula(r"B_\text{served}", "", POPE_2022.at("sec. 2, the batch that memory holds"))
def served_users(*, concurrency, seats):
    """Users who are served at a time: no more than there are seats."""
    return np.minimum(concurrency, seats)


@formula(r"B_r", "", POPE_2022.at("sec. 3.3, attention sharded over the batch"))
def rank_users(*, concurrency, data_parallel, pipeline_parallel):
    """Users whose tokens one device computes in a step: replicas and pipeline stages share them out, a stage has one at
    least."""
    return np.maximum(concurrency / (data_parallel * pipeline_parallel), 1)


@formula(r"q", "", POPE_2022.at("sec. 3.1"))
def missed_share(*, top_k, n_experts):
    """Chance that a token does not choose an expert, where all are alike."""
    return 1 - top_k / n_experts


@formula(r"D_\text{routed}", "tokens", POPE_2022.at("sec. 3.1"))
def routed_tokens(*, pass_tokens, data_parallel):
    """Tokens of a pass on all replicas, whose experts are the same ones."""
    return pass_tokens * data_parallel


@formula(r"p_\text{touched}", "", POPE_2022.at("sec. 3.1"))
def touched_share(*, missed_share, routed_tokens):
    """Share of the experts that at least one of the tokens of a step chooses, and whose weights are read."""
    return 1 - missed_share**routed_tokens


@formula(r"M_\text{dense, read}", "bytes", POPE_2022.at("sec. 2, weights are loaded once a step"))
def read_dense_bytes(*, dense_bytes, tensor_parallel):
    """Weights that every token goes through, a device's share: read once in a step however many users there are."""
    return dense_bytes / tensor_parallel


@formula(r"M_\text{experts, read}", "bytes", POPE_2022.at("sec. 3.1"))
def read_expert_bytes(*, expert_bytes, touched_share, tensor_parallel, data_parallel):
    """Weights of the experts that are chosen, shared out among all devices of the replicas."""
    return expert_bytes * touched_share / (tensor_parallel * data_parallel)


@formula(r"M_\text{cache, read}", "bytes", POPE_2022.at("sec. 2, the cache is loaded in every step"))
def read_cache_bytes(*, rank_users, user_cache_bytes, cache_split):
    """The cache of every user on the device, split by heads of keys and values as far as there are any."""
    return rank_users * user_cache_bytes / cache_split


@formula(r"M_\text{states, moved}", "bytes", POPE_2022.at("sec. 2"))
def moved_state_bytes(*, rank_users, state_bytes, tensor_parallel):
    """Recurrent states of every user on the device, read and written."""
    return 2 * rank_users * state_bytes / tensor_parallel


@formula(r"D_\text{step}", "tokens", LEVIATHAN_2022.at("sec. 2.3"))
def step_tokens(*, rank_users, tokens_each):
    """Tokens that a step of decoding computes on the device: one for each user, more where drafted ones are checked."""
    return rank_users * tokens_each


@formula(r"B_\text{others}", "", POPE_2022.at("sec. 3.3, attention sharded over the batch"))
def other_users(*, concurrency, data_parallel, pipeline_parallel):
    """Users beside one, on the same replica and stage: a lone request has none."""
    return np.maximum(concurrency / data_parallel - 1, 0) / pipeline_parallel


@formula(r"D_\text{mixed}", "tokens", AGRAWAL_2024.at("sec. 4, chunked prefills ride with decoding"))
def mixed_tokens(*, other_users, input_tokens, output_tokens, step_yield, step_room):
    """Tokens of others' prompts in a step: while a user's answer is written each of them ends one and asks anew. No
    step has more than the engine puts into one, longer prompts are cut up."""
    return np.minimum(other_users * step_yield * input_tokens / output_tokens, step_room)


@formula(r"B_\text{before}", "", AGRAWAL_2024.at("sec. 4, chunked prefills ride with decoding"))
def prompts_before(*, other_users, mixed_tokens, input_tokens, output_tokens, step_yield):
    """Prompts of the others that the steps of an answer have no room for: they are read before it begins."""
    return other_users - mixed_tokens * (output_tokens - 1) / (step_yield * input_tokens)


# Time at the device's peak


@formula(r"t_\text{read}", "s", WILLIAMS_2009.at("sec. 2"))
def reading_seconds(*, read_bytes, bandwidth):
    """Reading at the full bandwidth of the device's memory."""
    return read_bytes / bandwidth


@formula(r"t_\text{products}", "s", WILLIAMS_2009.at("sec. 2"))
def product_seconds(*, pass_tokens, token_flops, tensor_parallel, peak_flops):
    """Products of tokens with weights at the peak rate of the format that they are computed in."""
    return pass_tokens * token_flops / (tensor_parallel * peak_flops)


@formula(r"t_\text{scores}", "s", WILLIAMS_2009.at("sec. 2"))
def score_seconds(*, pass_tokens, score_flops, tensor_parallel, peak_flops):
    """Products of queries with what is cached, and of the scores with the values, at the rate of 16 bits."""
    return pass_tokens * score_flops / (tensor_parallel * peak_flops)


@formula(r"t_\text{sent}", "s", SHOEYBI_2019.at("sec. 3, fig. 4"))
def message_seconds(*, n_layers, pass_tokens, hidden_bytes, tensor_parallel, link_bytes):
    """Two all-reduces of the hidden states in each layer, as rings, at the full bandwidth of a link one way."""
    return 4 * n_layers * pass_tokens * hidden_bytes * (tensor_parallel - 1) / (tensor_parallel * link_bytes)


# Time as it is measured


@formula(r"t_\text{work}", "s", FITTED)
def work_time(*, reading_seconds, bandwidth_share, arithmetic_seconds, compute_share):
    """Reading and arithmetic of a step hide behind each other: the longer of both, at the shares that are reached."""
    return np.maximum(reading_seconds / bandwidth_share, arithmetic_seconds / compute_share)


@formula(r"t_\text{weights}", "s", FITTED)
def weights_time(*, reading_seconds, bandwidth_share):
    """Reading of the weights for the pass over a prompt, at the share of the bandwidth that is reached."""
    return reading_seconds / bandwidth_share


@formula(r"t_\text{mixed}", "s", FITTED)
def prompts_time(*, prompt_seconds, compute_share):
    """Arithmetic of the prompts that are read in the same step."""
    return prompt_seconds / compute_share


@formula(r"t_\text{link}", "s", FITTED)
def link_time(*, message_seconds, link_share):
    """Messages between devices: none hides behind the work."""
    return message_seconds / link_share


@formula(r"t_\text{kernels}", "s", FITTED)
def kernel_time(*, n_kernels, kernel_seconds):
    """A fixed time for each product and each other operation of a layer, however little it has to do."""
    return n_kernels * kernel_seconds


@formula(r"t_\text{routing}", "s", FITTED)
def routing_time(*, n_mixtures, mixture_seconds):
    """A fixed time for each layer of experts: tokens are sorted by expert, and put back."""
    return n_mixtures * mixture_seconds


@formula(r"t_\text{users}", "s", FITTED)
def users_time(*, rank_users, sequence_seconds):
    """A fixed time for each user: the engine's bookkeeping and the choice of the next token."""
    return rank_users * sequence_seconds


@formula(r"t_\text{first}", "s", FITTED)
def time_to_first_token(
    *, engine_factor, own_prompts, prompt_time, queued_share, rank_users, queued_time, waited_steps, waited_time,
    prompts_before,
):  # fmt: skip
    """From the request to its first token: the pass over the own prompt, a share of those of the other users, and some
    steps of decoding until the engine takes it in; no less than the passes over all prompts that come first."""
    return np.maximum(
        engine_factor
        * (own_prompts * prompt_time + queued_share * (rank_users - 1) * queued_time + waited_steps * waited_time),
        prompt_time + prompts_before * queued_time,
    )


@formula(r"t_\text{seat}", "s", AGRAWAL_2024.at("sec. 2, queueing delay"))
def seat_time(*, concurrency, seats, output_tokens, between_seconds):
    """Until a seat is free, where there are more users than seats: every user before writes a whole answer."""
    return np.maximum(concurrency / seats - 1, 0) * output_tokens * between_seconds


@formula(r"\Theta", "tokens/s", POPE_2022.at("sec. 2, throughput"))
def tokens_per_second(*, concurrency, output_tokens, first_seconds, between_seconds):
    """Tokens written for all users together: each waits for the first one, then has one a step."""
    return concurrency * output_tokens / (first_seconds + (output_tokens - 1) * between_seconds)


@formula(r"E_\text{token}", "J", NVIDIA.at("data sheets: maximum thermal design power"))
def energy_per_token(*, watts, devices, token_rate):
    """An upper bound: as if every device drew all of its rated power all the time; hosts and cooling not counted."""
    return watts * devices / token_rate


@formula(r"p_\text{Mtok}", "", POPE_2022.at("fig. 1, cost: chip-seconds per token"))
def million_token_price(*, price_per_hour, devices, token_rate):
    """What a million tokens written cost, in the money in which an hour of one device is paid."""
    return price_per_hour * devices / (3600 * token_rate) * 1_000_000


# Bounds, and speculation


@formula(r"t_\text{roofline}", "s", WILLIAMS_2009.at("sec. 2"))
def roofline_time(*, reading_seconds, arithmetic_seconds):
    """No machine is faster: everything is read once at full bandwidth, and all arithmetic done at the full rate."""
    return np.maximum(reading_seconds, arithmetic_seconds)


@formula(r"k_\text{step}", "tokens", LEVIATHAN_2022.at("sec. 3.1, eq. 1"))
def tokens_of_draft(*, acceptance, tokens_each):
    """Tokens that a step yields on average where drafted ones are accepted with such a chance, each for itself."""
    return (1 - acceptance**tokens_each) / (1 - acceptance)


@formula(r"t_\text{token}", "s", LEVIATHAN_2022.at("sec. 3.3"))
def drafted_time(*, step_time, draft_share, tokens_each, step_yield):
    """Time of a token: a step, and the draft's own steps in terms of it, over the tokens that come out."""
    return step_time * (1 + draft_share * (tokens_each - 1)) / step_yield
