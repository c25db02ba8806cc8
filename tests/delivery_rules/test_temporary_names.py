from pysubtask.delivery_rules.temporary_names import names_of_attempt, temp_name


def test_temp_names_are_unique_hidden_and_short():
    names = {temp_name("a/b/" + "x" * 255) for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith("a/b/.") and len(name.rpartition("/")[2]) < 64 for name in names)


def test_an_attempt_that_resumes_keeps_its_name():
    assert names_of_attempt("a", ["old", "last"], "last", "half") == ("last", ("old",))


def test_any_other_attempt_gets_a_new_name_and_the_last_is_stale():
    for last, resume in (("last", ""), ("", "half"), ("", "")):
        names = names_of_attempt("dir/a", ["old", "last"], last, resume)
        assert names.stale == ("old", "last") and names.temp.startswith("dir/.pysubtask-")
