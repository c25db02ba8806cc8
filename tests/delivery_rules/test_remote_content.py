from pysubtask.delivery_rules.remote_content import Known, already_there, was_left
from pysubtask.transports.base import RemoteStat

SECOND = 10**9


def there(known, size, seconds, digest, remote):
    return already_there(known, size, seconds * SECOND + 5, digest, remote)


def test_nothing_there():
    assert not there(None, 10, 100, "a", None)
    assert not there(Known(RemoteStat(10, 100), "a"), 10, 100, "a", None)


def test_the_same_content_and_the_server_as_we_left_it():
    known = Known(RemoteStat(10, 99), "a")
    assert there(known, 10, 500, "a", RemoteStat(10, 99)), "the local time changed, the content did not"
    assert not there(known, 10, 500, "a", RemoteStat(10, 98)), "somebody else wrote it"
    assert not there(known, 10, 500, "a", RemoteStat(11, 99))


def test_an_upload_whose_answer_was_lost():
    assert there(None, 10, 100, "a", RemoteStat(10, 100))
    assert there(Known(RemoteStat(9, 90), "old"), 10, 100, "a", RemoteStat(10, 100))
    assert not there(None, 10, 100, "a", RemoteStat(10, 101))
    assert not there(None, 10, 100, "a", RemoteStat(10, None)), "a server without times proves nothing"


def test_an_older_version_of_the_same_size_and_time_is_no_proof():
    assert not there(Known(RemoteStat(10, 100), "old"), 10, 100, "new", RemoteStat(10, 100))


def test_two_hashes_of_the_server_s_kind_alone_decide():
    known = Known(RemoteStat(10, 100, "rev1", "h1"), "a")
    remote = RemoteStat(10, 100, "rev1", "h1")
    assert already_there(known, 10, 100 * SECOND, "b", RemoteStat(10, 50, "rev9", "h2"), "h2")
    assert not already_there(known, 10, 100 * SECOND, "a", remote, "h2"), "what it shows is not what we have"
    assert already_there(known, 10, 100 * SECOND, "a", remote), "no local hash: the revision tells"
    assert not already_there(known, 10, 100 * SECOND, "a", remote._replace(rev="rev2"))


def test_what_another_protocol_left_is_trusted_only_unchanged():
    left = Known(RemoteStat(10, 100), "a")
    assert was_left(left, 10, "a", RemoteStat(10, 100))
    assert was_left(left, 10, "a", RemoteStat(10, None)) and was_left(Known(RemoteStat(10, None), "a"), 10, "a", RemoteStat(10, 7))
    assert not was_left(left, 10, "a", None)
    assert not was_left(left, 10, "b", RemoteStat(10, 100)), "another content here"
    assert not was_left(left, 10, "a", RemoteStat(11, 100)) and not was_left(left, 11, "a", RemoteStat(11, 100))
    assert not was_left(left, 10, "a", RemoteStat(10, 101)), "written by somebody since"
    assert not was_left(left._replace(reach=(20, "b")), 10, "a", RemoteStat(10, 100)), "an append was begun"
