from __future__ import annotations

from somabrain.demo import webhooks


def test_the_webhooks_are_all_there() -> None:
    recorded = webhooks.recorded()
    assert len(recorded) == 329
    assert len({webhook.tenant_id for webhook in recorded}) == 13
    assert len(webhooks.topics()) == 58


def test_the_notice_of_their_license_goes_with_them() -> None:
    notice = (webhooks._FILE.parent / "README.md").read_text()
    assert "MIT License" in notice
    assert "Gregor Martynus" in notice
