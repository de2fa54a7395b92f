"""A GenAIProfile from its first pass to its end, on real gRPC pods: every phase, every way to end, every restart."""

import grpc
import pytest

from genai_operator.clients.kube import PROFILE
from genai_operator.errors import ClusterUnavailable
from support.profile_world import KEY, ProfileWorld, profile_world


def writes(world: ProfileWorld) -> int:
    return sum(verb == "apply-status" for verb, _, _ in world.kube.writes)


async def test_a_window_on_two_pods_completes() -> None:
    async with profile_world() as (world, pods):
        world.put_profile(runs="prefill,0-3", limits={"maxRuns": 7, "maxBytes": "1Mi"}, requests={"ids": ["a"]})
        await world.run()
        window = world.window_id()
        assert world.status()["phase"] == "Running"
        assert world.pods() == {"hello-1": ("Open", "Capturing"), "hello-2": ("Open", "Capturing")}
        spec = pods[0].asked[0].spec
        assert (spec.label, spec.runs, spec.max_runs, spec.max_bytes) == ("slow", "prefill,0-3", 7, 1024**2)
        assert (list(spec.request_ids), list(spec.clients), spec.max_seconds) == (["a"], [], 0)
        pods[0].capture(window, 6, overhead=4.0)
        pods[0].finish(window)
        pods[1].capture(window, 2, overhead=8.0)
        world.pass_time(2)
        await world.run()
        assert world.status()["progress"] == "1/2"
        pods[1].finish(window, "max_seconds")
        world.pass_time(2)
        await world.run()
        status = world.status()
        assert (status["phase"], status["progress"], world.delay) == ("Complete", "2/2", None)
        assert world.pods() == {"hello-1": ("Complete", "MaxRuns"), "hello-2": ("Complete", "MaxSeconds")}
        assert (status["capturedRuns"], status["capturedRequests"], status["capturedBytes"]) == (8, 2, 8000)
        assert status["overheadPercent"] == 5.0
        assert status["topOperators"][0] == {
            "opType": "MatMulNBits",
            "provider": "CPUExecutionProvider",
            "calls": 16,
            "sharePercent": 75.0,
        }
        ids = [pod.windows[window].id for pod in pods]
        assert status["artifact"] == {
            "type": "Pod",
            "location": f"pod://hello-1/{ids[0]},pod://hello-2/{ids[1]}",
            "bytes": 1000,
        }
        truths = {each["type"]: each["status"] for each in status["conditions"]}
        assert truths == {
            "Accepted": "True",
            "Suspended": "False",
            "Captured": "True",
            "Collected": "True",
            "Complete": "True",
            "Failed": "False",
        }
        assert status["startedAt"] < status["finishedAt"]
        events = [body for (kind, _, _), body in world.kube.objects.items() if kind == "Event"]
        assert [(each["type"], each["reason"]) for each in events] == [("Normal", "Running"), ("Normal", "Complete")]
        assert {each["involvedObject"]["kind"] for each in events} == {"GenAIProfile"}


async def test_the_same_profile_runs_once_however_often_it_is_looked_at() -> None:
    async with profile_world() as (world, pods):
        world.put_profile()
        await world.run()
        before = writes(world)
        for _ in range(3):
            world.put_profile()  # applied again: the API server stores the same
            await world.run()
        assert writes(world) == before
        await world.end_windows(pods)
        before = writes(world)
        for _ in range(3):
            world.put_profile()
            await world.run()
        assert writes(world) == before
        assert [pod.opened for pod in pods] == [[world.window_id()]] * 2


async def test_a_pod_that_ends_in_mid_window_is_lost_and_the_others_complete() -> None:
    async with profile_world(3) as (world, pods):
        world.put_profile()
        await world.run()
        world.kube.remove("Pod", "team", "hello-2")
        await world.run()
        assert world.pods()["hello-2"] == ("Failed", "PodGone")
        await world.end_windows([pods[0], pods[2]])
        assert (world.status()["phase"], world.status()["progress"]) == ("Complete", "2/3")
        truth, reason, message = world.condition("Complete")
        assert (truth, reason) == ("True", "KeptInPods")
        assert "pod hello-2 PodGone" in message


async def test_all_pods_gone_is_a_failure_that_says_so() -> None:
    async with profile_world(1) as (world, _):
        world.put_profile()
        await world.run()
        world.kube.remove("Pod", "team", "hello-1")
        await world.run()
        assert world.status()["phase"] == "Failed"
        assert world.condition("Failed")[:2] == ("True", "PodGone")


async def test_nothing_captured_is_a_failure() -> None:
    async with profile_world() as (world, pods):
        world.put_profile()
        await world.run()
        await world.end_windows(pods, runs=0)
        assert world.status()["phase"] == "Failed"
        assert world.condition("Failed")[:2] == ("True", "NothingCaptured")
        assert "no run was captured" in world.condition("Captured")[2]
        assert "artifact" not in world.status()


async def test_a_container_that_restarted_does_not_get_a_second_window() -> None:
    async with profile_world() as (world, pods):
        world.put_profile()
        await world.run()
        pods[0].restart()
        await world.run()
        assert world.pods()["hello-1"] == ("Failed", "PodRestarted")
        assert pods[0].windows == {}


async def test_a_busy_pod_is_waited_for_and_given_up_in_time() -> None:
    async with profile_world() as (world, pods):
        world.put_profile("first", pods={"names": ["hello-1"]})
        await world.run("team/first")
        world.put_profile(startDeadlineSeconds=60)
        await world.run()
        assert world.pods() == {"hello-1": ("Pending", "PodBusy"), "hello-2": ("Open", "Capturing")}
        assert world.status()["phase"] == "Running"
        pods[0].capture(world.window_id("first"))
        pods[0].finish(world.window_id("first"))
        world.pass_time(2)
        await world.run()
        assert world.pods()["hello-1"] == ("Open", "Capturing")
        world.put_profile("third", startDeadlineSeconds=60)
        await world.run("team/third")
        assert world.status("third")["phase"] == "Pending"
        assert world.condition("Captured", "third")[:2] == ("Unknown", "PodBusy")
        world.pass_time(61)
        await world.run("team/third")
        assert world.status("third")["phase"] == "Failed"
        assert world.condition("Failed", "third")[:2] == ("True", "PodBusy")
        assert "startDeadlineSeconds is over" in world.condition("Failed", "third")[2]


async def test_suspended_it_waits_and_its_deadline_does_not_run() -> None:
    async with profile_world() as (world, pods):
        world.put_profile(suspend=True)
        await world.run()
        assert (world.status()["phase"], world.delay) == ("Pending", None)
        assert world.condition("Suspended")[0] == "True"
        world.pass_time(3600)
        world.put_profile(suspend=False)
        await world.run()
        assert world.status()["phase"] == "Running"
        assert [len(pod.windows) for pod in pods] == [1, 1]


async def test_suspended_in_mid_window_it_stops_and_keeps_what_was_captured() -> None:
    async with profile_world(3) as (world, pods):
        pods[2].refuses = grpc.StatusCode.FAILED_PRECONDITION
        world.put_profile()
        await world.run()
        window = world.window_id()
        pods[0].capture(window)
        world.put_profile(suspend=True)
        await world.run()
        assert [pod.state(window) for pod in pods[:2]] == ["COMPLETE", "FAILED"]
        assert world.pods() == {
            "hello-1": ("Complete", "Stopped"),
            "hello-2": ("Failed", "NothingCaptured"),
            "hello-3": ("Failed", "Stopped"),
        }
        assert world.status()["phase"] == "Complete"
        world.put_profile(suspend=False)
        await world.run()
        assert [len(pod.asked) for pod in pods[:2]] == [1, 1]


async def test_deleting_it_closes_its_windows() -> None:
    async with profile_world() as (world, pods):
        world.put_profile()
        await world.run()
        window = world.window_id()
        world.kube.remove("GenAIProfile", "team", "slow")
        await world.run()
        assert [pod.state(window) for pod in pods] == ["FAILED", "FAILED"]
        assert world.delay is None


async def test_a_deleted_profile_whose_pod_is_silent_is_closed_later() -> None:
    async with profile_world(1) as (world, (pod,)):
        world.put_profile()
        await world.run()
        window = world.window_id()
        pod.hangs = True
        world.kube.remove("GenAIProfile", "team", "slow")
        await world.run()
        assert world.delay is not None
        pod.hangs = False
        await world.run()
        assert (pod.state(window), world.delay) == ("FAILED", None)


async def test_made_anew_under_the_same_name_the_old_window_is_closed_and_a_new_one_opened() -> None:
    async with profile_world(1) as (world, (pod,)):
        world.put_profile()
        await world.run()
        old = world.window_id()
        world.kube.remove("GenAIProfile", "team", "slow")
        world.put_profile()
        await world.run()
        assert (pod.state(old), pod.state(world.window_id())) == ("FAILED", "OPEN")


async def test_what_a_profile_left_that_was_deleted_while_no_operator_ran_is_closed() -> None:
    async with profile_world() as (world, pods):
        world.put_profile()
        world.put_profile("kept", pods={"names": ["hello-2"]})
        await world.run("team/kept")
        await world.run()
        gone = world.window_id()
        world.kube.watchers.clear()
        world.kube.remove("GenAIProfile", "team", "slow")
        world.start()
        await world.service.close_orphans()
        assert pods[0].state(gone) == "FAILED"
        assert pods[1].state(world.window_id("kept")) == "OPEN"


@pytest.mark.parametrize("moment", ["chosen", "opened", "one ended", "all ended"])
async def test_an_operator_that_starts_again_goes_on_in_every_phase(moment: str) -> None:
    async with profile_world() as (world, pods):
        world.put_profile()
        if moment == "chosen":
            await world.service.reconcile(KEY)
            assert world.status()["phase"] == "Pending"
        else:
            await world.run()
        window = world.window_id()
        if moment in ("one ended", "all ended"):
            pods[0].capture(window, 3)
            pods[0].finish(window)
            world.pass_time(2)
            await world.run()
        if moment == "all ended":
            pods[1].capture(window, 3)
            pods[1].finish(window)
        world.start()
        await world.run()
        if moment == "chosen":
            await world.run()
        for pod in pods:
            if pod.state(window) == "OPEN":
                pod.capture(window, 3)
                pod.finish(window)
        world.pass_time(2)
        await world.run()
        status = world.status()
        assert (status["phase"], status["capturedRuns"]) == ("Complete", 6)
        assert status["topOperators"][0]["calls"] == 16  # of both pods, also of the one that ended before
        assert [pod.opened for pod in pods] == [[window], [window]]


async def test_a_window_whose_status_was_not_written_is_not_opened_twice() -> None:
    async with profile_world(1) as (world, (pod,)):
        world.put_profile()
        await world.service.reconcile(KEY)  # chosen
        world.kube.failures[("apply-status", "GenAIProfile")] = ClusterUnavailable("away")
        with pytest.raises(ClusterUnavailable):
            await world.service.reconcile(KEY)
        assert len(pod.opened) == 1
        world.kube.failures.clear()
        world.start()
        await world.run()
        assert pod.opened == [world.window_id()]
        assert world.status()["phase"] == "Running"


async def test_silence_in_mid_window_is_told_and_ends_the_pods_window_after_a_while() -> None:
    async with profile_world() as (world, pods):
        world.put_profile()
        await world.run()
        pods[1].hangs = True
        world.pass_time(2)
        await world.run()
        assert world.pods()["hello-2"] == ("Open", "PodUnreachable")
        world.pass_time(130)
        await world.end_windows(pods[:1])
        assert world.pods() == {"hello-1": ("Complete", "MaxRuns"), "hello-2": ("Failed", "PodUnreachable")}
        assert world.status()["phase"] == "Complete"


@pytest.mark.parametrize(
    ("code", "reason"),
    [(grpc.StatusCode.UNIMPLEMENTED, "UnsupportedRuns"), (grpc.StatusCode.INVALID_ARGUMENT, "Rejected")],
)
async def test_what_a_pod_refuses_for_good_is_not_asked_again(code: grpc.StatusCode, reason: str) -> None:
    async with profile_world(1) as (world, (pod,)):
        pod.refuses = code
        world.put_profile(runs="prefill")
        await world.run()
        await world.run()
        assert world.status()["phase"] == "Failed"
        assert world.condition("Failed")[:2] == ("True", reason)
        assert "because of a test" in world.condition("Failed")[2]
        assert len(pod.asked) == 1


async def test_counters_are_written_now_and_then_and_changes_at_once() -> None:
    async with profile_world(1) as (world, (pod,)):
        world.put_profile()
        await world.run()
        before = writes(world)
        for _ in range(4):
            world.pass_time(0.5)
            pod.capture(world.window_id(), 1)
            await world.run()
        assert writes(world) - before == 1
        pod.finish(world.window_id())
        await world.run()
        assert world.status()["capturedRuns"] == 4


async def test_ready_pods_are_waited_for() -> None:
    async with profile_world(2, model=False) as (world, pods):
        world.put_profile()
        await world.run()
        assert world.condition("Captured")[:2] == ("Unknown", "ModelNotFound")
        world.put_model(halted=True)
        world.put_pod("hello-1", pods[0], ready=False)
        await world.run()
        assert world.condition("Captured")[:2] == ("Unknown", "ModelHalted")
        world.put_model()
        await world.run()
        assert world.condition("Captured")[:2] == ("Unknown", "NoReadyPods")
        world.put_pod("hello-1", pods[0])
        await world.run()
        assert world.pods() == {"hello-1": ("Open", "Capturing")}


async def test_a_model_that_never_comes_ends_the_wait() -> None:
    async with profile_world(0, model=False) as (world, _):
        world.put_profile(startDeadlineSeconds=5, ttlSecondsAfterFinished=60)
        await world.run()
        world.pass_time(6)
        await world.run()
        assert world.status()["phase"] == "Failed"
        assert world.condition("Failed")[:2] == ("True", "ModelNotFound")
        await world.run()
        assert world.delay == 60.0
        world.pass_time(61)
        await world.run()
        assert world.kube.find("GenAIProfile", "slow") is None
        assert world.profiles.observe(PROFILE, None, {"metadata": {"namespace": "a", "name": "b"}}) == "a/b"


async def test_a_spec_that_was_stored_before_a_rule_fails_by_its_field() -> None:
    async with profile_world(1) as (world, (pod,)):
        world.put_profile(runs="../../x")
        await world.run()
        assert world.status()["phase"] == "Failed"
        assert world.condition("Accepted")[:2] == ("False", "InvalidSpec")
        assert "spec.runs" in world.condition("Accepted")[2]
        assert pod.asked == []
