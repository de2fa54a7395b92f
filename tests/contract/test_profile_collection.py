"""The Job that collects a GenAIProfile's traces: made once, its result told, its failure as well."""

import pytest

from support.profile_world import profile_world

CLAIM = {"type": "PersistentVolumeClaim", "persistentVolumeClaim": {"claimName": "traces"}}


async def test_a_collector_is_made_once_and_its_result_is_the_artifact() -> None:
    async with profile_world() as (world, pods):
        world.put_profile(output=CLAIM)
        await world.run()
        window = world.window_id()
        await world.end_windows(pods)
        assert world.status()["phase"] == "Collecting"
        job = world.kube.find("Job", "slow-collector")
        assert job is not None
        arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
        sources = [arguments[index + 1] for index, each in enumerate(arguments) if each == "--pod"]
        assert sources == [
            f"hello-{number}={pod.ip}:9443={pod.windows[window].id}" for number, pod in enumerate(pods, start=1)
        ]
        assert arguments[arguments.index("--output") + 1] == "file:///output/slow"
        assert world.kube.find("Secret", "slow-collector-tls") is not None
        world.start()  # in this phase as well
        await world.run()
        assert sum(kind == "Job" for _, kind, _ in world.kube.writes) == 1
        result = '{"location": "file:///output/slow/trace.json.gz", "bytes": 77, "events": 5, "missing": 1}'
        world.end_job("Complete", f"reading\n{result}")
        await world.run()
        status = world.status()
        assert status["phase"] == "Complete"
        assert status["artifact"] == {
            "type": "PersistentVolumeClaim",
            "location": "pvc://traces/slow/trace.json.gz",
            "bytes": 77,
        }
        assert status["topOperators"][0]["opType"] == "MatMulNBits"  # kept from before the restart
        assert world.condition("Collected")[:2] == ("True", "Collected")
        assert "1 pods could not be read" in world.condition("Complete")[2]


@pytest.mark.parametrize(
    ("kind", "words", "told"),
    [
        ("Failed", '{"reason": "Denied", "message": "the bucket refuses the key"}', "the bucket refuses the key"),
        ("Failed", "Traceback\nOSError: No space left", "OSError: No space left"),
        ("Complete", "done", "without saying where"),
        ("Complete", '{"location": 5, "bytes": -1}', "without saying where"),
    ],
)
async def test_a_collector_that_fails_leaves_the_traces_where_they_are(kind: str, words: str, told: str) -> None:
    async with profile_world(1) as (world, pods):
        world.put_profile(output=CLAIM)
        await world.run()
        await world.end_windows(pods)
        world.end_job(kind, words)
        await world.run()
        assert world.status()["phase"] == "Failed"
        truth, reason, message = world.condition("Failed")
        assert (truth, reason) == ("True", "CollectorFailed")
        assert told in message
        assert world.condition("Captured")[0] == "True"
        assert world.status()["artifact"]["location"].startswith("pod://hello-1/")


async def test_a_foreign_job_of_that_name_is_left_alone() -> None:
    async with profile_world(1) as (world, pods):
        foreign = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "slow-collector", "namespace": "team"}}
        world.kube.put(foreign)
        world.put_profile(output=CLAIM)
        await world.run()
        await world.end_windows(pods)
        assert world.condition("Failed")[:2] == ("True", "CollectorFailed")
        assert "does not belong to this profile" in world.condition("Failed")[2]
