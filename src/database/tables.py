"""The tables. `migrations/` creates them; a test holds both equal."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("owner", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("request", JSON, nullable=False),
    Column("group", String(200), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("rank", Float, nullable=False),  # created_at, moved back by the priority: who is next
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("finished_at", Float),
    Column("attempts", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("token", Integer, nullable=False),  # of the last lease; grows with each
    Column("worker", String(100)),
    Column("lease_expires", Float),
    Column("cancel_requested", Boolean, nullable=False),
    Column("stage", String(32)),
    Column("done", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("result", JSON),
    Column("error", JSON),
    Column("artifact", String(255)),
    Column("idempotency_key", String(255)),
    Column("pinned", Boolean, nullable=False),
    Column("parent", String(32)),  # the job whose clip this one enlarges
    Column("source", String(255)),  # name of the stored photograph or video that it reads
    # frames of 720x480 that it takes, as reckoned (src/engine/reckoning.py)
    Column("cost", Float, nullable=False, server_default="0"),
    Column("traceparent", String(64)),  # W3C Trace Context of the request that made it
    # of the request, lower case: what a search looks at
    Column("words", Text, nullable=False, server_default=""),
    # keys' ids: who made the clips that its own is made of (src/jobs/lineage.py)
    Column("makers", JSON, nullable=False, server_default="[]"),
    # its whole picture carries the visible label, its own or its source's
    Column("labelled", Boolean, nullable=False, server_default=false()),
    # its clip is a draft's, or made of one (src/jobs/lineage.py)
    Column("draft", Boolean, nullable=False, server_default=false()),
    # devices that make its clip together: what its worker must hold
    Column("gpus", Integer, nullable=False, server_default="1"),
    UniqueConstraint("owner", "idempotency_key", name="one_job_a_key"),
    Index("jobs_turns", "state", "owner", "priority", "rank"),
    Index("jobs_alike", "state", "group", "rank"),
    Index("jobs_of_owner", "owner", "id"),
    Index("jobs_by_state", "state", "id"),
    Index("jobs_by_artifact", "artifact"),
    Index("jobs_by_parent", "parent"),
    Index("jobs_by_source", "source"),
    Index("jobs_by_gpus", "state", "gpus"),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("key", String(1600), primary_key=True),  # of the artifact store
    Column("job", String(32)),  # that made it; none made what is shared, or came from a command
    Column("parent", String(1600)),  # key of what it was made of: a photograph, an upload, a clip
    Column("kind", String(16), nullable=False),  # clip, manifest, photograph, upload
    Column("sha256", String(64)),
    Column("bytes", BigInteger),  # none: not measured yet
    Column("created", Float, nullable=False),
    Column("pinned", Boolean, nullable=False),  # its job's
    Column("release", String(16)),  # state of its release; none: nobody asked for one
    Column("version", String(1024)),  # of the bytes, where the store keeps versions
    Index("artifacts_of_job", "job"),
    Index("artifacts_by_parent", "parent"),
    Index("artifacts_by_hash", "sha256"),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("job_id", String(32), nullable=False),
    Column("at", Float, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("data", JSON, nullable=False),
    Index("events_of_job", "job_id", "id"),
    sqlite_autoincrement=True,
)

devices = Table(
    "devices",
    metadata,
    Column("device", String(200), primary_key=True),
    Column("worker", String(100), nullable=False),
    Column("expires", Float, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("worker", String(100), primary_key=True),
    # machine, boot, pid and start time: who to look for
    Column("process", String(200), nullable=False),
    Column("device", String(200), nullable=False),
    Column("info", JSON, nullable=False),
    Column("seen_at", Float, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("created_at", Float, nullable=False),
    Column("revoked_at", Float),
    Column("per_minute", Integer, nullable=False),
    Column("per_day", Integer, nullable=False),
    Column("breaking", Boolean, nullable=False, server_default=false()),
    # keys of one desk see each other's jobs
    Column("desk", String(100), nullable=False, server_default=""),
    # read, submit, approve, release, admin: their names in order, with spaces between
    Column("rights", String(100), nullable=False, server_default=""),
    Column(
        "person", String(100), nullable=False, server_default=""
    ),  # whose it is; "": a service's
)

logins = Table(
    "logins",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("key_id", String(32), nullable=False),
    Column("csrf", String(64), nullable=False),
    Column("expires", Float, nullable=False),
)

turns = Table(
    "turns",
    metadata,
    Column("owner", String(32), primary_key=True),
    Column("priority", Integer, primary_key=True, autoincrement=False),
    Column("served_at", Float, nullable=False),  # when a worker last took such a job of this owner
)

notice_rules = Table(
    "notice_rules",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("owner", String(32), nullable=False),  # the key whose jobs are meant; "": everybody's
    Column("events", JSON, nullable=False),  # done, failed, approval, stuck
    Column("channel", String(16), nullable=False),
    Column("target", Text, nullable=False),  # an address; of Slack and web hooks it is a secret
    Column("digest", String(64), nullable=False),  # of the target
    Column("secret", Text),  # that web hooks are signed with
    Column("source", String(16), nullable=False),  # settings, or api
    Column("active", Boolean, nullable=False),
    Column("why", Text),  # it was switched off
    Column("created_at", Float, nullable=False),
)

notices = Table(
    "notices",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("event", String(80), nullable=False),  # the number of an event, or what else happened
    Column("kind", String(16), nullable=False),
    Column("channel", String(16), nullable=False),
    Column("digest", String(64), nullable=False),  # of the target
    Column("data", JSON, nullable=False),
    Column("state", String(16), nullable=False),  # waiting, sent, failed
    Column("attempts", Integer, nullable=False),
    Column("due", Float, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("problem", Text),  # of the last attempt
    UniqueConstraint("event", "channel", "digest", name="one_notice_a_target"),
    Index("notices_due", "state", "channel", "due"),
    Index("notices_to", "channel", "digest", "created_at"),
)

audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),  # from 1, without gaps
    Column("entry", Text, nullable=False),  # canonical JSON, with the hash of the one before
    Column("hash", String(64), nullable=False),  # SHA-256 of the entry
)

releases = Table(
    "releases",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("job", String(32), nullable=False),
    Column("open_job", String(32), unique=True),  # the job, while the release has not ended
    Column("owner", String(32), nullable=False),  # of the job
    Column("title", Text, nullable=False),
    # of the clip, in the artifact store; "" for a draft whose clip is still being made
    Column("key", String(1600), nullable=False),
    Column("version", String(1024)),
    Column("state", String(16), nullable=False),
    Column("revision", Integer, nullable=False),  # grows with each change
    Column("sha256", String(64)),  # of the bytes that were submitted
    Column("note", Text, nullable=False),
    Column("reason", Text, nullable=False),  # what was said with the last decision
    Column("embargo", Float),  # not served before
    Column("supersedes", String(32)),  # the release that this one corrects
    Column("successor", String(32)),  # the release that corrects this one
    Column("submitter", String(32)),  # keys' ids
    Column("approver", String(32)),
    Column("releaser", String(32)),
    Column("created_at", Float, nullable=False),
    Column("submitted_at", Float),
    Column("decided_at", Float),
    Column("released_at", Float),
    Column("ended_at", Float),
    # the job's picture carries the visible label
    Column("labelled", Boolean, nullable=False, server_default=false()),
    # what is served where that is not the approved file: a copy that tells of its release
    Column("served_key", String(1600)),
    Column("served_version", String(1024)),
    Column("served_sha256", String(64)),
    Column("makers", JSON, nullable=False, server_default="[]"),  # the job's
    Index("releases_by_state", "state", "id"),
    Index("releases_of_job", "job"),
)

totals = Table(
    "totals",
    metadata,
    Column("name", String(64), primary_key=True),  # of a metric
    Column("labels", String(255), primary_key=True),  # as JSON, names in order
    Column("value", Float, nullable=False),
)

facts = Table(
    "facts",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", String(255), nullable=False),
)

marks = Table(
    "marks",
    metadata,
    Column("artifact", String(1600), primary_key=True),  # key in the store
    Column("sha256", String(64), nullable=False),
    Column("mark", String(12), nullable=False),  # id of the watermark; "" for none
    Column("key", String(8), nullable=False),  # which key it was made with
    Column("fingerprint", String(64), nullable=False),
    Column("job", String(32), nullable=False),  # stays when the job is gone
    Column("created", Float, nullable=False),
    Index("marks_by_mark", "mark"),
)
