//! The model against examples worked out by hand from `docs/policy.md`, in literal bytes.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "helpers of tests may fail like tests"
)]

mod answers;
mod bytes;
mod closing;
mod counting;
mod fields;
mod judgement;
mod limits;
mod reading;
mod replies;
mod rules;
mod trust;
