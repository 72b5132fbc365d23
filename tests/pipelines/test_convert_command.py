"""`avagent convert` on real clips: there and back, and refined in between."""

import json

import pytest
from runs import clips, members, refined, run


@pytest.fixture(scope="module")
def records(corpus, tmp_path_factory):
    output = tmp_path_factory.mktemp("convert") / "records"
    assert run("convert", "--input", corpus / "shards", "--to", "tfrecord", "--output", output) == 0
    return output


def test_there_and_back_is_the_same(corpus, records, tmp_path):
    back = tmp_path / "back"
    assert run("convert", "--input", records, "--to", "webdataset", "--output", back) == 0
    shards = sorted((corpus / "shards").glob("*.tar"))
    assert [p.name for p in sorted(back.glob("*.tar"))] == [p.name for p in shards]
    for shard in shards:
        assert list(members(back / shard.name).items()) == list(members(shard).items())
    index = json.loads((back / "index.json").read_text("utf-8"))
    assert sum(shard["nsamples"] for shard in index["shardlist"]) == len(
        {name.split(".")[0] for shard in shards for name in members(shard)}
    )
    assert (back / "_SUCCESS").exists()


def test_decisions_are_those_of_the_other_format(corpus, records, tmp_path):
    limits = ("--limit", "3", "--decide-only")
    tar = clips(refined(corpus / "shards", tmp_path / "tar", *limits))
    record = clips(refined(records, tmp_path / "record", *limits))
    assert {key: (row["outcome"], row["actions"]) for key, row in tar.items()} == {
        key: (row["outcome"], row["actions"]) for key, row in record.items()
    }


def test_a_second_call_has_nothing_to_do_and_a_lost_shard_is_made_again(corpus, records, capsys):
    call = ("convert", "--input", corpus / "shards", "--to", "tfrecord", "--output", records)
    assert run(*call) == 0
    assert "nothing to do" in capsys.readouterr().out
    first = min(records.glob("*.tfrecord"))
    before = first.read_bytes()
    first.unlink()
    (records / "_SUCCESS").unlink()
    assert run(*call) == 0
    assert first.read_bytes() == before


def test_shards_of_that_format_are_refused(corpus, tmp_path, capsys):
    assert run("convert", "--input", corpus / "shards", "--to", "webdataset", "--output", tmp_path / "out") == 2
    assert "WebDataset already" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
