"""Times of functions that take turns: a noisy machine is equally noisy for all."""

import statistics
import time


def interleave(functions, rounds, repeats=2, seconds=float("inf")):
    """Seconds of every timed call, by name; a round is a warm-up and `repeats` of each.

    Args:
      functions: name -> what to call; it waits for its result.
      rounds: at most; at least one, whatever it takes.
      repeats: timed calls of each in a round.
      seconds: no round starts after that time.
    """
    times = {name: [] for name in functions}
    end = time.perf_counter() + seconds
    for i in range(rounds):
        if i and time.perf_counter() > end:
            break
        for name, call in functions.items():
            time.sleep(0.02)  # PyTorch's threads spin a while and would steal a core
            call()
            for _ in range(repeats):
                start = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - start)
    return times


def medians_ms(functions, rounds, repeats=2, seconds=float("inf")):
    """Median milliseconds by name; arguments as of `interleave`."""
    times = interleave(functions, rounds, repeats, seconds)
    return {name: 1e3 * statistics.median(t) for name, t in times.items()}
