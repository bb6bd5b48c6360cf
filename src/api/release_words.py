"""What pages call the states of a release."""

from src.releases.states import ReleaseState

STATES = {
    ReleaseState.SUBMITTED: "Waiting for approval", ReleaseState.APPROVED: "Approved",
    ReleaseState.RELEASED: "Released", ReleaseState.REJECTED: "Rejected",
    ReleaseState.WITHDRAWN: "Withdrawn", ReleaseState.SUPERSEDED: "Corrected",
    ReleaseState.DRAFT: "Draft",
}  # fmt: skip
MARKS = {state.value: words for state, words in STATES.items()} | {"embargoed": "Under embargo"}
"""What pages say of a clip, by how it is marked."""
