"""Has a model built by a Job, once for each wish, and says how far it is and what became of it.

What is to be done is decided in `status.building`, the Job is the builders'. Whether there was a wish before is in the
model's status, so an operator that starts again builds nothing twice; nor does the builder, which knows by content what
the cache has.
"""

from collections.abc import Callable

import structlog

from genai_operator.api.built import build_revision, build_wish
from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.names import build_job_name
from genai_operator.builders.build import build_job
from genai_operator.builders.settings import BuilderSettings
from genai_operator.clients.kube import JOB, KubeClient
from genai_operator.constants import LABEL_BUILD
from genai_operator.errors import ClusterConflict, ClusterRejected
from genai_operator.services.certificates import control_server_name
from genai_operator.services.fetches import Fetches
from genai_operator.services.jobs import REFUSED_SECONDS, JobBook, KnownJob, last_line, newest_pod, parsed
from genai_operator.services.reading import controller_uid
from genai_operator.status.build_failure import failed_build, hindered_build
from genai_operator.status.building import next_step
from genai_operator.status.causes import refusal_reason
from genai_operator.status.job_step import Step
from genai_operator.status.observed import BuildState, JobState, ObservedBuild, ObservedPod
from genai_operator.status.reasons import Reason

log = structlog.get_logger(__name__)

# No watch shows the pods of a Job: how theirs is getting on is looked up so often.
_LOOK_SECONDS = 5.0
_NO_BUILDER = (
    "spec.model.build needs a builder image, and the operator was installed without one: have the chart's value "
    "builder.image.repository set"
)


class Building:
    """The build Jobs of all models. `progress` asks their pods, `wake` for another pass after so many seconds."""

    def __init__(
        self,
        kube: KubeClient,
        jobs: JobBook,
        settings: BuilderSettings,
        progress: Fetches,
        wake: Callable[[str, float], None],
    ) -> None:
        self._kube = kube
        self._jobs = jobs
        self._settings = settings
        self._progress = progress
        self._wake = wake

    async def step(self, model: GenAIModel) -> ObservedBuild | None:
        """Does what comes next, and says how far it is; None without `spec.model.build`.

        Raises:
            ClusterError: the API server did not answer, or could not take the Job now.
        """
        key, build = model.metadata.key, model.spec.model.build
        job = self._jobs.job(key)
        if job is None and build is None:
            return None
        revision = build_revision(model)
        if job is not None and job.owner_uid != model.metadata.uid:
            return _taken(model, revision) if build else None
        step = next_step(model, build_wish(model), job.revision if job else None)
        if step is not Step.READ:
            await self._progress.forget(key)
        match step:
            case Step.NOTHING:
                return ObservedBuild(revision, BuildState.ANSWERED)
            case Step.WAIT:
                return _pending(revision, Reason.SUSPENDED, "spec.suspend is true: no pods are wanted")
            case Step.MAKE:
                return await self._make(model, revision)
            case Step.REMOVE if job is not None:
                return await self._remove(model, revision, job)
            case _ if job is not None:
                return await self._outcome(model, revision, job)
        return None

    async def _make(self, model: GenAIModel, revision: str) -> ObservedBuild:
        metadata, build = model.metadata, model.spec.model.build
        if build is None:
            raise ValueError("nobody asked for it")
        if not self._settings.builder_image:
            return _pending(revision, Reason.BUILDER_UNAVAILABLE, _NO_BUILDER)
        present = await self._kube.get(JOB, metadata.namespace, build_job_name(metadata.name))
        if present is not None and controller_uid(present) != metadata.uid:
            return _taken(model, revision)
        if present is None:  # else the watch shows it in a moment
            try:
                await self._kube.create(build_job(model, build, self._settings))
            except (ClusterRejected, ClusterConflict) as error:
                # A quota or a policy may be changed by others, without a word to this model.
                self._wake(metadata.key, REFUSED_SECONDS)
                said = f"the build Job is refused, and tried again every {REFUSED_SECONDS:.0f} s: {error.said}"
                return _pending(revision, refusal_reason(error.said), said)
            log.info("build Job made", model=metadata.key)
        self._wake(metadata.key, _LOOK_SECONDS)
        return _pending(revision, Reason.BUILDING, "the build Job starts")

    async def _remove(self, model: GenAIModel, revision: str, job: KnownJob) -> ObservedBuild | None:
        metadata = model.metadata
        if not job.deleting:
            await self._kube.delete(JOB, metadata.namespace, build_job_name(metadata.name), uid=job.uid)
            log.info("build Job deleted: it is not wanted any more", model=metadata.key)
        if model.spec.model.build is None:
            return None
        if model.spec.suspend:
            return _pending(revision, Reason.SUSPENDED, "spec.suspend is true: the build Job is being ended")
        return _pending(revision, Reason.BUILDING, "an earlier build Job is being ended")

    async def _outcome(self, model: GenAIModel, revision: str, job: KnownJob) -> ObservedBuild:
        metadata = model.metadata
        pod = await newest_pod(self._kube, metadata.namespace, f"{LABEL_BUILD}={metadata.name}", job)
        name = pod.name if pod else ""
        if job.state is JobState.RUNNING:
            return await self._under_way(model, revision, pod)
        await self._progress.forget(metadata.key)
        self._wake(metadata.key, 0.0)  # the next pass renders what this one reads
        if job.state is JobState.COMPLETE:
            return ObservedBuild(revision, BuildState.COMPLETE, pod=name, result=parsed(last_line(pod)))
        reason, said = failed_build(model, pod, job.message)
        return ObservedBuild(revision, BuildState.FAILED, reason.value, said, name)

    async def _under_way(self, model: GenAIModel, revision: str, pod: ObservedPod | None) -> ObservedBuild:
        metadata = model.metadata
        server_name = control_server_name(metadata.name, metadata.namespace)
        await self._progress.step(metadata.key, server_name, [pod] if pod else [])
        self._wake(metadata.key, _LOOK_SECONDS)
        if pod is None:
            said = f"the build Job has no pod yet; kubectl describe job -n {metadata.namespace} "
            return _pending(revision, Reason.BUILDING, f"{said}{build_job_name(metadata.name)}")
        hindrance = hindered_build(model, pod)
        if hindrance is not None:
            return ObservedBuild(revision, BuildState.PENDING, hindrance[0].value, hindrance[1], pod.name)
        told = self._progress.told(metadata.key).get(pod.uid)
        building = Reason.BUILDING.value
        if pod.fetching:
            said = f"pod {pod.name} fetches what the model is built of"
            return ObservedBuild(revision, BuildState.FETCHING, building, said, pod.name, told)
        if pod.running:
            said = f"pod {pod.name} builds the model"
            return ObservedBuild(revision, BuildState.BUILDING, building, said, pod.name, told)
        return ObservedBuild(revision, BuildState.PENDING, building, f"pod {pod.name} starts", pod.name)


def _pending(revision: str, reason: Reason, message: str) -> ObservedBuild:
    return ObservedBuild(revision, BuildState.PENDING, reason.value, message)


def _taken(model: GenAIModel, revision: str) -> ObservedBuild:
    name = build_job_name(model.metadata.name)
    said = f"Job {name} exists and does not belong to this model; delete it, and set another model.build.request"
    return ObservedBuild(revision, BuildState.FAILED, Reason.NAME_CONFLICT.value, said)
