"""Every life-cycle transition, allowed and forbidden, through both command lines."""

import pytest

from conftest import poll


@pytest.fixture
def created(cli):
    cli("create", "--network", "none", "--name", "c1", "--init", "busybox", "sleep", "infinity")
    return "c1"


@pytest.fixture
def running(cli, created):
    cli("start", created)
    return created


@pytest.fixture
def paused(cli, running):
    cli("pause", running)
    return running


@pytest.fixture
def exited(cli, running):
    cli("stop", "-t", "5", running)
    return running


def refused(cli, *args, says):
    done = cli(*args, code=1)
    assert says in done.stderr, done.stderr


def test_created_is_created(cli, created):
    assert cli.status(created) == "created"
    assert cli.out("ps", "-a", "--format", "{{.Status}}") == "Created"
    assert cli.out("ps", "-q") == ""


def test_created_to_running(cli, running):
    state = cli.inspect(running, "State")
    assert state["Status"] == "running" and state["Running"] and state["Pid"] > 0
    assert cli.out("ps", "--format", "{{.Status}}").startswith("Up ")


def test_created_cannot_be_paused(cli, created):
    refused(cli, "pause", created, says="is not running")


def test_created_cannot_be_unpaused(cli, created):
    refused(cli, "unpause", created, says="is not paused")


def test_created_cannot_be_killed(cli, created):
    refused(cli, "kill", created, says="is not running")


def test_created_can_be_stopped_which_changes_nothing(cli, created):
    assert cli.out("stop", created) == created
    assert cli.status(created) == "created"


def test_created_can_be_removed(cli, created):
    assert cli.out("rm", created) == created
    refused(cli, "inspect", created, says="No such object: c1")


def test_created_cannot_be_executed_in(cli, created):
    refused(cli, "exec", created, "true", says="is not running")


def test_running_start_is_idempotent(cli, running):
    pid = cli.inspect(running, "State.Pid")
    assert cli.out("start", running) == running
    assert cli.inspect(running, "State.Pid") == pid


def test_running_cannot_be_removed_without_force(cli, running):
    done = cli("rm", running, code=1)
    assert "cannot remove" in done.stderr or "You cannot remove a running container" in done.stderr
    assert cli.status(running) == "running"


def test_running_can_be_removed_by_force(cli, running):
    cli("rm", "-f", running)
    refused(cli, "inspect", running, says="No such object")


def test_running_cannot_be_unpaused(cli, running):
    refused(cli, "unpause", running, says="is not paused")


def test_running_to_paused_and_back(cli, paused):
    state = cli.inspect(paused, "State")
    assert (state["Status"], state["Running"], state["Paused"]) == ("paused", True, True)
    assert cli.out("ps", "--format", "{{.Status}}").endswith(" (Paused)")
    cli("unpause", paused)
    assert cli.status(paused) == "running"


def test_paused_cannot_be_paused_again(cli, paused):
    refused(cli, "pause", paused, says="is already paused")


def test_paused_cannot_be_started(cli, paused):
    refused(cli, "start", paused, says="cannot start a paused container, try unpause instead")


def test_paused_cannot_be_executed_in(cli, paused):
    refused(cli, "exec", paused, "true", says="is paused, unpause the container before exec")


def test_paused_cannot_be_removed_without_force(cli, paused):
    done = cli("rm", paused, code=1)
    assert "paused" in done.stderr


def test_paused_can_be_removed_by_force(cli, paused):
    cli("rm", "-f", paused)
    refused(cli, "inspect", paused, says="No such object")


def test_paused_can_be_stopped(cli, paused):
    cli("stop", "-t", "1", paused)
    assert cli.status(paused) == "exited"


def test_paused_can_be_killed(cli, paused):
    cli("kill", paused)
    assert cli.out("wait", paused) == "137"
    assert cli.status(paused) == "exited"


def test_running_to_exited_by_stop(cli, exited):
    state = cli.inspect(exited, "State")
    assert (state["Status"], state["ExitCode"], state["Pid"]) == ("exited", 143, 0)
    assert cli.out("ps", "-a", "--format", "{{.Status}}").startswith("Exited (143) ")


def test_stop_kills_what_does_not_listen(cli):
    cli.run("-d", "--name", "deaf", "busybox", "sleep", "infinity")
    cli("stop", "-t", "0", "deaf")
    assert cli.inspect("deaf", "State.ExitCode") == 137


def test_stop_uses_the_containers_signal(cli):
    script = "trap 'exit 7' USR1; while :; do sleep 0.02; done"
    cli.run("-d", "--name", "c1", "--stop-signal", "USR1", "busybox", "sh", "-c", script)
    poll(lambda: "sleep" in cli.out("top", "c1"), "the shell to be in its loop")
    cli("stop", "c1")
    assert cli.inspect("c1", "State.ExitCode") == 7


def test_running_to_exited_by_kill(cli, running):
    assert cli.out("kill", running) == running
    assert cli.out("wait", running) == "137"


def test_kill_with_a_signal_that_does_not_end_it(cli, running):
    cli("kill", "-s", "WINCH", running)
    assert cli.status(running) == "running"


def test_kill_refuses_unknown_signals(cli, running):
    done = cli("kill", "-s", "NOPE", running, code=1)
    assert "nvalid signal: NOPE" in done.stderr


def test_exited_can_be_started_again(cli, exited):
    cli("start", exited)
    assert cli.status(exited) == "running"


def test_exited_can_be_removed(cli, exited):
    cli("rm", exited)
    refused(cli, "inspect", exited, says="No such object")


def test_exited_cannot_be_paused_unpaused_killed_or_executed_in(cli, exited):
    refused(cli, "pause", exited, says="is not running")
    refused(cli, "unpause", exited, says="is not paused")
    refused(cli, "kill", exited, says="is not running")
    refused(cli, "exec", exited, "true", says="is not running")


def test_exited_stop_is_idempotent(cli, exited):
    assert cli.out("stop", exited) == exited


def test_restart_of_running_gives_a_new_process(cli, running):
    pid = cli.inspect(running, "State.Pid")
    cli("restart", "-t", "2", running)
    assert cli.status(running) == "running"
    assert cli.inspect(running, "State.Pid") != pid


def test_restart_starts_what_is_created_or_exited(cli, created):
    cli("restart", created)
    assert cli.status(created) == "running"
    cli("kill", created)
    cli("wait", created)
    cli("restart", created)
    assert cli.status(created) == "running"


def test_exit_code_is_the_programs(cli):
    cli.run("--name", "c1", "busybox", "sh", "-c", "exit 42", code=42)
    assert cli.inspect("c1", "State.ExitCode") == 42
    assert cli.out("wait", "c1") == "42"


def test_exit_code_of_a_signal_is_128_and_its_number(cli):
    cli.run("busybox", "sh", "-c", "kill -TERM $$; sleep 1", "--init", code=None)
    cli.run("--init", "busybox", "sh", "-c", "kill -9 $$", code=137)


def test_a_missing_program_is_127(cli):
    done = cli.run("--name", "c1", "busybox", "nope", code=127)
    assert 'exec: "nope": executable file not found in $PATH' in done.stderr
    assert cli.status("c1") == "created"
    assert cli.inspect("c1", "State.ExitCode") == 127


def test_a_missing_path_is_127(cli):
    done = cli.run("busybox", "/nope", code=127)
    assert "no such file or directory" in done.stderr


def test_a_program_that_may_not_be_executed_is_126(cli):
    done = cli.run("busybox", "/etc/passwd", code=126)
    assert "permission denied" in done.stderr


def test_a_bad_flag_is_125(cli):
    done = cli.run("--nope", "busybox", "true", code=125)
    assert "unknown flag: --nope" in done.stderr


def test_a_bad_configuration_is_125(cli):
    cli.run("--memory", "1m", "busybox", "true", code=125)


def test_rm_removes_at_the_end(cli):
    cli.run("--rm", "--name", "gone", "busybox", "true")
    poll(lambda: "gone" not in cli.out("ps", "-a", "--format", "{{.Names}}"), "the container to be removed")


def test_rename(cli, running):
    cli("rename", running, "other")
    assert cli.inspect("other", "Name") == "/other"
    refused(cli, "inspect", "c1", says="No such object")


def test_rename_to_a_taken_name_is_refused(cli, running):
    cli("create", "--network", "none", "--name", "other", "busybox")
    done = cli("rename", running, "other", code=1)
    assert "already in use" in done.stderr


def test_a_taken_name_is_refused(cli, created):
    done = cli("create", "--network", "none", "--name", created, "busybox", code=1)
    assert 'Conflict. The container name "/c1" is already in use by container' in done.stderr


@pytest.mark.parametrize("name", ["-x", ".x", "a b", "a/b", "é", "a"])
def test_bad_names_are_refused(cli, name):
    done = cli("create", "--network", "none", f"--name={name}", "busybox", code=1)
    assert f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed" in done.stderr


def test_a_missing_container_is_said_to_be_missing(cli):
    for verb in ("start", "stop", "kill", "pause", "unpause", "restart", "rm", "wait", "logs", "top", "port", "diff"):
        done = cli(verb, "nope", code=1)
        assert "No such container: nope" in done.stderr, (verb, done.stderr)


def test_restart_policy_on_failure_tries_so_many_times(cli):
    cli.run("-d", "--name", "c1", "--restart", "on-failure:2", "busybox", "false")
    poll(lambda: cli.status("c1") == "exited", "the last try")
    assert cli.inspect("c1", "RestartCount") == 2


def test_restart_policy_always_restarts_until_it_is_stopped(cli):
    cli.run("-d", "--name", "c1", "--restart", "always", "busybox", "sleep", "0.01")
    poll(lambda: cli.inspect("c1", "RestartCount") >= 2, "restarts")
    cli("stop", "c1")
    assert cli.status("c1") == "exited"


def test_wait_gives_the_code_of_a_running_container(cli):
    cli.run("-d", "--name", "c1", "-i", "busybox", "sh", "-c", "read x; exit 3")
    waiter = cli.spawn("wait", "c1")
    cli("kill", "-s", "KILL", "c1")
    assert waiter.communicate()[0] == b"137\n"


def test_health_becomes_healthy_and_unhealthy(cli):
    flags = ["--health-cmd", "test -e /ok", "--health-interval", "50ms", "--health-retries", "2"]
    cli.run("-d", "--init", "--name", "c1", *flags, "busybox", "sh", "-c", "touch /ok; sleep infinity")
    poll(lambda: cli.inspect("c1", "State.Health.Status") == "healthy", "healthy")
    assert "(healthy)" in cli.out("ps", "--format", "{{.Status}}")
    cli("exec", "c1", "rm", "/ok")
    poll(lambda: cli.inspect("c1", "State.Health.Status") == "unhealthy", "unhealthy")
    assert cli.inspect("c1", "State.Health.Log")[-1]["ExitCode"] == 1


def test_update_changes_limits_of_a_running_container(cli, running):
    cli("update", "--memory", "64m", "--memory-swap", "128m", "--cpu-shares", "512", running)
    config = cli.inspect(running, "HostConfig")
    assert (config["Memory"], config["MemorySwap"], config["CpuShares"]) == (64 << 20, 128 << 20, 512)


def test_update_changes_the_restart_policy(cli, running):
    cli("update", "--restart", "on-failure:5", running)
    assert cli.inspect(running, "HostConfig.RestartPolicy") == {"Name": "on-failure", "MaximumRetryCount": 5}


def test_prune_removes_what_is_not_running(cli, running):
    cli("create", "--network", "none", "--name", "idle", "busybox")
    cli("container", "prune", "-f")
    assert cli.out("ps", "-a", "--format", "{{.Names}}") == running
