import pytest

from src.artifacts.s3_place import read_place
from src.broker.celery_app import check_url
from src.core.errors import BadInputError
from src.notices.mail import read_server


@pytest.mark.parametrize(
    ("read", "url"),
    [(check_url, "amqp://user:pa/ss@host/"), (check_url, "amqp://user:p#a?ss@host:56a/"),
     (read_server, "smtp://user@host:port"), (read_place, "s3://[bucket/prefix")],
)  # fmt: skip
def test_what_is_no_url_is_one_sentence_that_repeats_no_secret(read, url):
    with pytest.raises(BadInputError) as caught:
        read(url)
    assert str(caught.value).startswith("NEWSREEL_") and "pa" not in str(caught.value).split(":")[0]
    assert "ss@" not in str(caught.value) and "bucket/prefix" not in str(caught.value)


def test_encoded_passwords_are_taken():
    check_url("amqp://user:pa%2Fss%40@host:5672/")
