"""Words that are no command: one line on stderr, like all else that is refused, and exit 2."""

import pytest

from liqsim.cli import app

COMMANDS = [info.name or info.callback.__name__ for info in app.registered_commands]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nonsense"], "liqsim: no such command 'nonsense'"),
        (["comparee"], "liqsim: no such command 'comparee'. Did you mean 'compare'?"),
        (["--nonsense"], "liqsim: no such option: --nonsense"),
        (["compare"], "liqsim compare: missing argument 'SCENARIO'"),
        (["verify", "a", "b"], "liqsim verify: got unexpected extra argument(s) (b)"),
        (["compare", "x", "--with"], "liqsim compare: option '--with' requires an argument"),
        (["compare", "x", "--jobs", "0"], "liqsim compare: --jobs 0: "),
        (["run", "x", "--seed=many"], "liqsim run: --seed=many: "),
        (["query", "x", "-f", "xml"], "liqsim query: -f xml: "),
        (["sweep", "linear_cascade"], "liqsim sweep: missing option '-o' / '--out'"),
    ],
)
def test_words_that_are_wrong_are_named_in_one_line(stranger, words, told):
    answer = stranger.says(*words)

    command = told.partition(":")[0]
    assert answer.exit_code == 2
    assert answer.stdout == ""
    assert answer.stderr.startswith(f"error: {told}")
    assert answer.stderr.endswith(f"; see {command} --help\n")
    assert answer.stderr.count("\n") == 1
    assert stranger.files() == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_an_option_that_it_has_not(stranger, command):
    answer = stranger.says(command, "--nonsense")

    assert (answer.exit_code, answer.stdout) == (2, "")
    assert answer.stderr.startswith(f"error: liqsim {command}: no such option: --nonsense")
    assert answer.stderr.endswith(f"; see liqsim {command} --help\n")
    assert answer.stderr.count("\n") == 1


def test_a_process_of_its_own_says_the_same(stranger):
    answer = stranger.starts("compare", "linear_cascade", "--jobs", "none")

    assert answer.exit_code == 2
    assert answer.stderr.startswith("error: liqsim compare: --jobs none: ")
    assert answer.stderr.count("\n") == 1


def test_without_words_the_help_is_shown(stranger):
    answer = stranger.says()

    assert answer.exit_code == 2
    assert "COMMAND" in answer.stdout
    assert "error" not in answer.stderr
    assert stranger.says("--help").exit_code == stranger.says("run", "--help").exit_code == 0
    assert stranger.says("--version").stdout.startswith("liqsim ")
