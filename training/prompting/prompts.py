"""The prompts of a small language model, by product, as they were before any figure was seen.

A model of this size is worth asking how likely the member's text is once it has read the candidate's: within a list
the member is the same, so the sums compare. Its yes or no is close to chance; both are measured.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.prompting.causal_lm import Asked


@dataclass(frozen=True)
class Prompts:
    """Two templates with `{member}` and `{candidate}`, and the limits of both texts in tokens."""

    likelihood: str
    """Ends where the member's text follows."""
    yes_no: str
    tokens: int

    def for_likelihood(self, member: str, candidate: str) -> Asked:
        return Asked(self.likelihood.replace("{candidate}", candidate), f" {member}")

    def for_yes_no(self, member: str, candidate: str) -> Asked:
        # One pass over the template: a text that contains a placeholder is not filled in again.
        before, after = self.yes_no.split("{member}")
        middle, end = after.split("{candidate}")
        return Asked(f"{before}{member}{middle}{candidate}{end}")


PROMPTS = {
    "jobs": Prompts(
        likelihood="Job: {candidate}\nThe profile of a person who fits this job:",
        yes_no="A person's profile:\n{member}\n\nA job:\n{candidate}\n\nIs this job right for this person?"
        " Answer Yes or No.",
        tokens=112,
    ),
    "products": Prompts(
        likelihood="Product: {candidate}\nA shopper who wants this product searches for:",
        yes_no="A shopper searches for: {member}\n\nA product: {candidate}\n\nIs this what the shopper asks for?"
        " Answer Yes or No.",
        tokens=64,
    ),
}
