"""A small stream, and a plan that is quick."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from memcli.continual import Plan, plan_for
from memcli.continual.tasks import Stream, open_stream
from memcli.data.sources import Source, open_source

FAKE = "fake:classes=3,shape=1x8x8,n=120,test=30"


@pytest.fixture(scope="session")
def source() -> Source:
    return open_source(FAKE)


@pytest.fixture
def open_small(source: Source) -> Callable[[], Stream]:
    """Three permuted tasks of three classes, 40 training images each, and the floats of 15 images for all memories."""
    return lambda: open_stream("permutations:tasks=3,images=40,memory=15", source, 0)


@pytest.fixture
def plan(open_small: Callable[[], Stream]) -> Plan:
    found = plan_for("permutations", open_small().network)
    training = replace(found.retrain, steps=60, batch=30, noise=0.5)
    return replace(found, retrain=training, pilot_steps=40, looks=4, share=0.8, cells=0.0)
