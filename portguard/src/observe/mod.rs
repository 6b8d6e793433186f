//! What is counted, over time and for others: samples, rates, metrics.

pub mod metrics;
pub mod rates;
pub mod sample;
