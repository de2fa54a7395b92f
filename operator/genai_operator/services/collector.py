"""Has a profile's traces collected by a Job, and reads what became of it. What the Job looks like is the builders'."""

from collections.abc import Sequence

import structlog

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.genaiprofile import GenAIProfile
from genai_operator.api.names import collector_name
from genai_operator.api.profile_status import MAX_LOCATION_LENGTH, ProfilePod
from genai_operator.builders.collector import TraceSource, collector_job, collector_secret
from genai_operator.builders.settings import BuilderSettings
from genai_operator.clients.kube import JOB, KubeClient
from genai_operator.clients.runtime import PodEndpoint
from genai_operator.constants import LABEL_PROFILE, PATH_COLLECTOR_OUTPUT
from genai_operator.errors import ClusterConflict, ClusterRejected
from genai_operator.services.certificates import ControlAuthority, control_server_name, secret_data
from genai_operator.services.jobs import KnownJob, failure, last_line, newest_pod, parsed
from genai_operator.services.profile_cache import ProfileCache
from genai_operator.services.reading import controller_uid
from genai_operator.status.causes import pod_cause
from genai_operator.status.observed import JobState, ObservedPod
from genai_operator.status.profile_observed import Collection

log = structlog.get_logger(__name__)


class Collector:
    """The collecting Jobs of all profiles. A Job is made once and never changed."""

    def __init__(
        self, kube: KubeClient, cache: ProfileCache, authority: ControlAuthority, settings: BuilderSettings
    ) -> None:
        self._kube = kube
        self._cache = cache
        self._authority = authority
        self._settings = settings

    async def collect(
        self,
        profile: GenAIProfile,
        model: GenAIModel | None,
        captured: Sequence[ProfilePod],
        pods: Sequence[ObservedPod],
    ) -> Collection:
        """Makes the Job unless it is there, and says how far it is. `pods`: those of the model that live.

        Raises:
            ClusterError: the API server did not answer, or could not take the Job now.
        """
        job = self._cache.job(profile.metadata.key)
        if job is None:
            return await self._make(profile, model, captured, pods)
        if job.owner_uid != profile.metadata.uid:
            return _taken(profile)
        return await self._outcome(profile, job)

    async def _make(
        self,
        profile: GenAIProfile,
        model: GenAIModel | None,
        captured: Sequence[ProfilePod],
        pods: Sequence[ObservedPod],
    ) -> Collection:
        metadata = profile.metadata
        present = await self._kube.get(JOB, metadata.namespace, collector_name(metadata.name))
        if present is not None:  # the watch shows it in a moment
            foreign = controller_uid(present) != metadata.uid
            said = f"Job {collector_name(metadata.name)} exists and does not belong to this profile; delete it"
            return (
                Collection(JobState.FAILED, said) if foreign else Collection(JobState.RUNNING, "the collector starts")
            )
        by_uid = {pod.uid: pod for pod in pods}
        server_name = control_server_name(profile.spec.model, metadata.namespace)
        sources = [
            TraceSource(entry.name, PodEndpoint(by_uid[entry.uid].ip, server_name).address(), entry.profile_id)
            for entry in captured
            if entry.uid in by_uid and entry.profile_id
        ]
        if model is None or not sources:
            return Collection(JobState.FAILED, "the pods ended before their traces were collected")
        certificate = self._authority.collector_certificate(server_name, metadata.uid)
        try:
            # Without force: a foreign Secret of this name is left alone.
            await self._kube.apply(collector_secret(profile, secret_data(certificate)), force=False)
            await self._kube.create(collector_job(profile, model, sources, server_name, self._settings))
        except (ClusterRejected, ClusterConflict) as error:
            return Collection(JobState.FAILED, f"the collector cannot be made: {error.said}")
        log.info("collector made", profile=metadata.key, pods=len(sources))
        missing = len(captured) - len(sources)
        lost = f" without {missing} pods that ended meanwhile" if missing else ""
        return Collection(JobState.RUNNING, f"the collector reads {len(sources)} pods{lost}")

    async def _outcome(self, profile: GenAIProfile, job: KnownJob) -> Collection:
        selector = f"{LABEL_PROFILE}={profile.metadata.name}"
        newest = await newest_pod(self._kube, profile.metadata.namespace, selector, job)
        words = last_line(newest)
        if job.state is JobState.COMPLETE:
            return _result(words, profile)
        if job.state is JobState.FAILED:
            return Collection(JobState.FAILED, failure(words, job))
        cause = pod_cause(newest) if newest else None
        return Collection(JobState.RUNNING, cause.message if cause else "the collector runs")


def _taken(profile: GenAIProfile) -> Collection:
    name = collector_name(profile.metadata.name)
    return Collection(JobState.FAILED, f"Job {name} exists and does not belong to this profile; delete it")


def _result(line: str, profile: GenAIProfile) -> Collection:
    """What a collector that ended well wrote: `location`, `bytes`, `events`, and of how many pods it is `missing`."""
    found = parsed(line)
    location, size, missing = found.get("location"), found.get("bytes"), found.get("missing")
    if not isinstance(location, str) or not isinstance(size, int) or size < 0:
        return Collection(JobState.FAILED, "the collector ended without saying where the trace is")
    claim = profile.spec.output.persistent_volume_claim
    if claim is not None:  # where a claim is mounted in the Job tells nobody anything
        location = location.replace(f"file://{PATH_COLLECTOR_OUTPUT}/", f"pvc://{claim.claim_name}/", 1)
    lost = f"{missing} pods could not be read and are not in it" if isinstance(missing, int) and missing > 0 else ""
    return Collection(JobState.COMPLETE, lost, location=location[:MAX_LOCATION_LENGTH], bytes=size)
