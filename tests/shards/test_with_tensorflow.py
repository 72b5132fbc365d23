"""TFRecord shards against TensorFlow itself: what it writes is read, and what is written it reads."""

import pytest
from rewrite_tools import decide_all, options
from shard_tools import improved, unchanged
from tfrecord_tools import MP4

from avagent.runs.convert import convert_shard
from avagent.runs.rewrite import rewrite_shard
from avagent.shards.formats import DEFAULT_OPTIONS, read_shard
from avagent.shards.samples import BadSample

REASON = "needs the extra tfio, in an environment of its own"
tf = pytest.importorskip("tensorflow", reason=REASON, exc_type=ImportError)
MEDIA = "clip/encoded_media_bytes"


def bytes_feature(*values):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def an_example(key):
    return tf.train.Example(
        features=tf.train.Features(
            feature={
                "example/id": bytes_feature(key),
                MEDIA: bytes_feature(MP4 + key),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[1, 2, 300])),
                "score": tf.train.Feature(float_list=tf.train.FloatList(value=[0.5, -1.0])),
            }
        )
    )


def a_sequence(key):
    pictures = tf.train.FeatureList(feature=[bytes_feature(b"\xff\xd8one"), bytes_feature(b"\xff\xd8two")])
    return tf.train.SequenceExample(
        context=tf.train.Features(feature={"example/id": bytes_feature(key), MEDIA: bytes_feature(MP4 + key)}),
        feature_lists=tf.train.FeatureLists(feature_list={"image/encoded": pictures}),
    )


@pytest.fixture(params=["", "GZIP"])
def shard(request, tmp_path):
    path = str(tmp_path / ("a.tfrecord" + (".gz" if request.param else "")))
    with tf.io.TFRecordWriter(path, request.param) as writer:
        writer.write(an_example(b"one").SerializeToString())
        writer.write(a_sequence(b"two").SerializeToString())
    return path, request.param


def read_by_tensorflow(path, compression):
    return [bytes(record.numpy()) for record in tf.data.TFRecordDataset(path, compression_type=compression)]


def test_what_tensorflow_writes_is_read(shard):
    items = list(read_shard(shard[0]))
    assert not any(isinstance(item, BadSample) for item in items)
    assert [item.clip.key for item in items] == ["one", "two"]
    assert [item.clip.video().data for item in items] == [MP4 + b"one", MP4 + b"two"]
    assert [image.data for image in items[1].clip.images()] == [b"\xff\xd8one", b"\xff\xd8two"]


def test_what_is_written_tensorflow_reads(shard, tmp_path):
    path, compression = shard
    decisions = decide_all(path, lambda ref: improved(ref) if ref.key == "one" else unchanged(ref))
    report = rewrite_shard(path, decisions, options(str(tmp_path / "out")))
    first, second = read_by_tensorflow(report.url, compression)
    edited = tf.train.Example.FromString(first).features.feature
    assert edited[MEDIA].bytes_list.value[0].startswith(MP4 + b"one+")
    assert b'"improved"' in edited["avagent/record"].bytes_list.value[0]
    assert list(edited["label"].int64_list.value) == [1, 2, 300]
    kept = tf.train.SequenceExample.FromString(second)
    assert b'"unchanged"' in kept.context.feature["avagent/record"].bytes_list.value[0]
    del kept.context.feature["avagent/record"]
    assert kept == a_sequence(b"two")


def test_converted_shards_are_read_and_come_back(shard, tmp_path):
    path, _ = shard
    there = convert_shard(path, str(tmp_path / "there"), "webdataset", DEFAULT_OPTIONS)
    back = convert_shard(there.url, str(tmp_path / "back"), "tfrecord", DEFAULT_OPTIONS)
    assert (there.errors, back.errors) == (0, 0)
    first, second = read_by_tensorflow(back.url, "")
    assert tf.train.Example.FromString(first) == an_example(b"one")
    assert tf.train.SequenceExample.FromString(second) == a_sequence(b"two")
