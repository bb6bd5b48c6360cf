"""The record of a folder's batch never stops the batch, and never calls finished what is not."""

from dataclasses import replace

import pytest

from src.core.errors import BadInputError, MissingFileError
from src.upscaling.backends import UpscalerChoice
from src.upscaling.job import UpscaleJob
from src.upscaling.ledger import NAME, Ledger, check_replaceable, job_key


@pytest.fixture
def job(tmp_path, choice):
    (tmp_path / "out").mkdir()
    (tmp_path / "a.mp4").write_bytes(b"source")
    (tmp_path / "out" / "a.mp4").write_bytes(b"output")
    return UpscaleJob(tmp_path / "a.mp4", tmp_path / "out" / "a.mp4", choice)


@pytest.mark.parametrize("record", [b"[]", b"null", b"3", b'{"a.mp4": null}', b"{", b"\xff\xfe"])
def test_a_record_that_says_nothing_is_written_anew(job, record):
    finished, key = Ledger(job.target.parent), job_key(job)
    (job.target.parent / NAME).write_bytes(record)
    assert not finished.holds(job.target, key)
    finished.add(job.target, key)
    assert finished.holds(job.target, key)


def test_a_record_that_cannot_be_there_is_empty(job):
    assert not Ledger(job.source / "under a file").holds(job.target, job_key(job))


def test_two_batches_share_a_record(job):
    one, other, key = Ledger(job.target.parent), Ledger(job.target.parent), job_key(job)
    (job.target.parent / "b.mp4").write_bytes(b"output")
    one.add(job.target, key)
    other.add(job.target.with_name("b.mp4"), key)
    assert one.holds(job.target.with_name("b.mp4"), key) and other.holds(job.target, key)


def test_a_source_replaced_during_the_run_is_done_again(job):
    finished, key = Ledger(job.target.parent), job_key(job)
    job.source.write_bytes(b"another source")
    finished.add(job.target, key)
    assert not finished.holds(job.target, job_key(job))


def test_an_output_that_no_finisher_has_seen_is_not_finished_for_one(job):
    finished, signed = Ledger(job.target.parent), replace(job, finishers=("sign",))
    finished.add(job.target, job_key(job))
    assert not finished.holds(job.target, job_key(signed))


def test_what_cannot_be_done_is_told_in_one_sentence_beside_an_output(job, weights):
    with pytest.raises(BadInputError, match="2, 4 or 8"):
        job_key(UpscaleJob(job.source, job.target, UpscalerChoice("fast", 3, folder=weights)))
    job.source.unlink()
    with pytest.raises(MissingFileError, match="no video at"):
        job_key(job)


def test_what_somebody_put_in_the_place_of_our_output_is_not_ours(job):
    finished = Ledger(job.target.parent)
    finished.add(job.target, job_key(job))
    check_replaceable(job.target, overwrite=False)
    job.target.write_bytes(b"a person's own file")
    with pytest.raises(BadInputError, match="--overwrite"):
        check_replaceable(job.target, overwrite=False)
    check_replaceable(job.target, overwrite=True)
