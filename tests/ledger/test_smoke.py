from ledger.commands_and_outcomes import Committed, Reserved
from tests.world import World, fulfil, messages_about, prepare, run, state_of


def test_a_payment_reserves_then_commits_and_tells_both_sides(world: World) -> None:
    p = prepare(world, "green", "blue", 100)
    assert isinstance(run(p), Reserved)
    assert world.position("green") == 100_0000
    assert isinstance(run(fulfil(world, "blue", p.transfer_id)), Committed)
    assert (world.position("green"), world.position("blue")) == (100_0000, -100_0000)
    assert state_of(p.transfer_id) == "COMMITTED"
    assert messages_about(p.transfer_id) == [("blue", "POST", "prepare"), ("green", "PUT", "end-to-payer")]
    assert world.breaks() == []
