"""Log files that something happened to."""

import json

from tests.training.tiny import config
from tqgd_jax.training.records import log as journal


def test_a_log_that_lacks_steps_is_told_of(tmp_path, caplog):
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"step": 1}\n{"step": 3}\n{"step": 4, "val": {}}\n{"step": 5}\n')
    opened = journal.RunLogger(
        config(), tmp_path, start=4, evaluated=4, stop=9, epoch=3
    )
    opened.close()
    assert f"{log} lacks 2 of the 4 steps that are done" in caplog.text
    kept = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert kept == [1, 3, 4]
    caplog.clear()
    journal.RunLogger(config(), tmp_path, start=1, evaluated=0, stop=9, epoch=3).close()
    assert caplog.text == ""
