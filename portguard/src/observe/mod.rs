//! What is counted, over time and for others: samples, rates.

pub mod rates;
pub mod sample;
