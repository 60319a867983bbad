"""The training loop's promises: history, and Ctrl-C that keeps what was learned."""

import pytest

from ladder.training import Training


def test_history_holds_every_logged_step():
    with Training(5, "squares") as run:
        for step in run:
            run.log(loss=step**2, rate=0.1)
    assert run.history == {"loss": [0, 1, 4, 9, 16], "rate": [0.1] * 5}
    assert run.done == 5 and not run.interrupted


def test_interrupt_ends_the_loop_and_keeps_the_history(capsys):
    with Training(10) as run:
        for step in run:
            run.log(loss=step)
            if step == 3:
                raise KeyboardInterrupt
    assert run.interrupted and run.done == 3
    assert run.history["loss"] == [0, 1, 2, 3]
    assert "stopped after step 3" in capsys.readouterr().out


def test_other_errors_are_not_swallowed():
    with pytest.raises(ZeroDivisionError), Training(2) as run:
        for _ in run:
            raise ZeroDivisionError
