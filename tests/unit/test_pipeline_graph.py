"""Which step follows which."""

import pytest

from engine.errors import PipelineError
from engine.pipeline.graph import arrange


def test_steps_follow_one_another_as_they_are_listed() -> None:
    graph = arrange(["a", "b", "c"], [None, None, None])
    assert graph.order == (0, 1, 2)
    assert graph.predecessors == ((), (0,), (1,))
    assert graph.successors == ((1,), (2,), ())
    assert (graph.firsts, graph.lasts) == ((0,), (2,))
    assert graph.is_line


def test_a_branch_and_a_join() -> None:
    graph = arrange(["a", "b", "c", "d"], [None, ["a"], ["a"], ["c", "b"]])
    assert graph.predecessors[3] == (2, 1)
    assert graph.successors[0] == (1, 2)
    assert graph.ancestors(3) == (0, 1, 2)
    assert graph.descendants(0) == (1, 2, 3)
    assert not graph.is_line


def test_the_order_of_the_list_does_not_matter_where_it_is_said_what_follows_what() -> None:
    graph = arrange(["last", "first", "middle"], [["middle"], [], ["first"]])
    assert graph.order == (1, 2, 0)
    assert graph.is_line


def test_several_first_and_several_last_steps() -> None:
    graph = arrange(["a", "b", "c"], [None, [], ["a"]])
    assert graph.firsts == (0, 1)
    assert graph.lasts == (1, 2)
    assert not graph.is_line


def test_no_steps_at_all() -> None:
    assert arrange([], []).order == ()


@pytest.mark.parametrize(
    ("names", "after", "message"),
    [
        (["a", "b", "a"], [None, None, None], "two steps are called 'a': give each a name of its own"),
        (["resize", "b"], [None, ["resise"]], "step 'b' follows 'resise', which is no step here: did you mean resize?"),
        (["a", "b"], [None, ["a", "a"]], "step 'b' follows 'a' twice: name it once"),
        (["a"], [["a"]], "steps follow one another in a circle: 'a' → 'a'"),
        (
            ["a", "b", "c", "d"],
            [None, ["a", "c"], ["b"], ["c"]],
            "steps follow one another in a circle: 'c' → 'b' → 'c', so that nothing reaches 'd'",
        ),
    ],
)
def test_what_cannot_be_put_in_order_is_named(names: list[str], after: list[list[str] | None], message: str) -> None:
    with pytest.raises(PipelineError) as caught:
        arrange(names, after)
    assert str(caught.value) == message
