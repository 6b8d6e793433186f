//! The verbs of the command line, a file each. They do; `output` prints.

pub mod apply;
pub mod ban;
pub mod bans;
pub mod block;
pub mod capture;
pub mod check;
mod client;
pub mod counters;
pub mod detach;
pub mod diff;
pub mod doctor;
mod event_stream;
pub mod events;
pub mod explain;
pub mod ports;
pub mod reload;
pub mod replay;
pub mod rules;
pub mod run;
pub mod schema;
pub mod status;
mod targets;
pub mod top;
pub mod unban;
