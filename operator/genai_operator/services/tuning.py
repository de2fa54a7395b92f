"""Has a model's settings measured by a Job, once for each wish, and reads what became of it.

What is to be done is decided in `status.tuning`, the Job is the builders'. Whether there was a wish before is in the
model's status, so an operator that starts again measures nothing twice.
"""

from collections.abc import Callable

import structlog

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.names import tuning_job_name
from genai_operator.api.recommendation import known_recommendation, tuning_revision, tuning_wish
from genai_operator.builders.settings import BuilderSettings
from genai_operator.builders.tuning import tuning_job
from genai_operator.clients.kube import JOB, KubeClient
from genai_operator.constants import LABEL_TUNING
from genai_operator.errors import ClusterConflict, ClusterRejected, InvalidModel
from genai_operator.services.jobs import REFUSED_SECONDS, JobBook, KnownJob, failure, last_line, newest_pod, parsed
from genai_operator.services.reading import controller_uid
from genai_operator.status.causes import pod_cause
from genai_operator.status.job_step import Step
from genai_operator.status.observed import JobState, ObservedTuning, TuningState
from genai_operator.status.tuning import next_step

log = structlog.get_logger(__name__)

# No watch shows the pods of a Job: why one does not start is looked up so often.
_LOOK_SECONDS = 30.0


class Tuning:
    """The tuning Jobs of all models. `wake` asks for another pass over a model after so many seconds."""

    def __init__(
        self, kube: KubeClient, jobs: JobBook, settings: BuilderSettings, wake: Callable[[str, float], None]
    ) -> None:
        self._kube = kube
        self._jobs = jobs
        self._settings = settings
        self._wake = wake

    async def step(self, model: GenAIModel) -> ObservedTuning | None:
        """Does what comes next, and says how far it is; None without `spec.tuning`.

        Raises:
            ClusterError: the API server did not answer, or could not take the Job now.
        """
        job = self._jobs.job(model.metadata.key)
        if job is None and model.spec.tuning is None:
            return None
        if job is not None and job.owner_uid != model.metadata.uid:
            return _taken(model) if model.spec.tuning else None
        revision, wish = tuning_revision(model), tuning_wish(model)
        known = known_recommendation(model.status)
        match next_step(model, wish, known, revision, job.revision if job else None):
            case Step.NOTHING:
                return ObservedTuning(revision, TuningState.ANSWERED)
            case Step.WAIT:
                return ObservedTuning(revision, TuningState.PENDING, "spec.suspend is true: no pods are wanted")
            case Step.MAKE:
                return await self._make(model, revision)
            case Step.REMOVE if job is not None:
                return await self._remove(model, revision, job)
            case _ if job is not None:
                return await self._outcome(model, revision, job)
        return None

    async def _make(self, model: GenAIModel, revision: str) -> ObservedTuning:
        metadata, tuning = model.metadata, model.spec.tuning
        if tuning is None:
            raise ValueError("nobody asked for it")
        present = await self._kube.get(JOB, metadata.namespace, tuning_job_name(metadata.name))
        if present is not None:  # the watch shows it in a moment
            if controller_uid(present) != metadata.uid:
                return _taken(model)
            return ObservedTuning(revision, TuningState.RUNNING, "the tuning Job starts")
        try:
            await self._kube.create(tuning_job(model, tuning, self._settings))
        except (ClusterRejected, ClusterConflict) as error:
            # A quota or a policy may be changed by others, without a word to this model.
            self._wake(metadata.key, REFUSED_SECONDS)
            said = f"the tuning Job is refused, and tried again every {REFUSED_SECONDS:.0f} s: {error.said}"
            return ObservedTuning(revision, TuningState.PENDING, said)
        except InvalidModel as error:
            return ObservedTuning(revision, TuningState.FAILED, f"the tuning Job cannot be made: {error}")
        log.info("tuning Job made", model=metadata.key)
        self._wake(metadata.key, _LOOK_SECONDS)
        return ObservedTuning(revision, TuningState.RUNNING, "the tuning Job starts")

    async def _remove(self, model: GenAIModel, revision: str, job: KnownJob) -> ObservedTuning | None:
        metadata = model.metadata
        if not job.deleting:
            await self._kube.delete(JOB, metadata.namespace, tuning_job_name(metadata.name), uid=job.uid)
            log.info("tuning Job deleted: it is not wanted any more", model=metadata.key)
        if model.spec.tuning is None:
            return None
        return ObservedTuning(revision, TuningState.PENDING, "an earlier tuning Job is being ended")

    async def _outcome(self, model: GenAIModel, revision: str, job: KnownJob) -> ObservedTuning:
        metadata = model.metadata
        newest = await newest_pod(self._kube, metadata.namespace, f"{LABEL_TUNING}={metadata.name}", job)
        if job.state is JobState.COMPLETE:
            self._wake(metadata.key, 0.0)  # what it says may be applied by the next pass
            return ObservedTuning(revision, TuningState.COMPLETE, result=parsed(last_line(newest)))
        if job.state is JobState.FAILED:
            where = f" in its container {newest.initial}" if newest and newest.initial else ""
            said = failure(last_line(newest), job)
            return ObservedTuning(revision, TuningState.FAILED, f"the tuning Job failed{where}: {said}")
        self._wake(metadata.key, _LOOK_SECONDS)
        cause = pod_cause(newest) if newest else None
        where = f": {newest.initial}" if newest and newest.initial else ""
        return ObservedTuning(revision, TuningState.RUNNING, cause.message if cause else f"the tuning Job runs{where}")


def _taken(model: GenAIModel) -> ObservedTuning:
    name = tuning_job_name(model.metadata.name)
    said = f"Job {name} exists and does not belong to this model; delete it, and set another spec.tuning.request"
    return ObservedTuning(tuning_revision(model), TuningState.FAILED, said)
