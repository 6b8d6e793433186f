//! What is seen, over time and for others: counters, as samples, rates, metrics and the models of the live view and of the web
//! page; drop events, as far as the budget lets them. Values in, values out: nothing here talks to the kernel or to a client.

pub mod budget;
pub mod filter;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod frame;
pub mod metrics;
pub mod page;
pub mod pcapng;
pub mod rates;
pub mod sample;
pub mod share;
pub mod sources;
pub mod top;
