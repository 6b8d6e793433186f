//! What leaves, and the flows that it starts.

use std::cell::RefCell;
use std::collections::HashMap;

use portguard_common::abi::{Action, Setting};
use portguard_common::classify::{Tables as _, service};
use portguard_common::combine::{Direction, find_cell};
use portguard_common::constant::CellView as _;
use portguard_common::flow::{CLOSED_NS, Flows, Sent, sent};
use portguard_common::flow_table::{Flow, FlowKey};
use portguard_common::last_sent::LastSent;
use portguard_common::mix::Seed;
use portguard_common::packet::{Headers, Transport};

use super::Clock;
use super::view::View;

#[derive(Debug, Default)]
pub(super) struct FlowTables {
    pub(super) now_ns: Clock,
    flows: RefCell<HashMap<FlowKey, Flow>>,
    last_sent: RefCell<HashMap<u32, u64>>,
    closed: RefCell<HashMap<u16, u64>>,
}

impl Flows for FlowTables {
    fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }

    fn last_sent(&self, index: u32) -> LastSent {
        let times = self.last_sent.borrow();
        let time = times.get(&index);
        time.map_or(LastSent::NEVER, |time| LastSent::at(index, *time))
    }

    fn closed_at(&self, port: u16) -> u64 {
        self.closed.borrow().get(&port).copied().unwrap_or_default()
    }

    fn seed(&self) -> Seed {
        [1, 2]
    }

    fn flow(&self, key: FlowKey) -> Option<Flow> {
        self.flows.borrow().get(&key).copied()
    }
}

impl FlowTables {
    pub(super) fn close(&self, ports: impl Iterator<Item = u16>) {
        let now_ns = self.now_ns();
        let closed = ports.map(|port| (port, now_ns));
        self.closed.borrow_mut().extend(closed);
    }

    pub(super) fn sent(&self, frame: &&[u8], headers: &Headers, view: &View<'_>) {
        if headers.later_fragment {
            return;
        }
        match sent(frame, headers, self.seed()) {
            Sent::Nothing => {}
            Sent::Ends(key) => {
                self.flows.borrow_mut().remove(&key);
            }
            Sent::Starts(key) => self.put(key, false),
            Sent::Continues(key) => {
                if let Some(flow) = self.lasting(key) {
                    self.put(key, flow.closing);
                }
            }
            Sent::Closes(key) => {
                if self.lasting(key).is_some() {
                    self.put(key, true);
                }
            }
            Sent::Datagram(key) => {
                let closed_at = self.closed_at(key.our_port());
                let is_closed = closed_at != 0 && self.now_ns() - closed_at <= CLOSED_NS;
                if !is_closed && answer_is_dropped(frame, headers, view) {
                    self.put(key, false);
                }
            }
        }
    }

    /// A TCP flow that is not over.
    fn lasting(&self, key: FlowKey) -> Option<Flow> {
        self.flow(key)
            .filter(|flow| !flow.is_over(key.index, self.now_ns()))
    }

    fn put(&self, key: FlowKey, closing: bool) {
        let last_ns = self.now_ns();
        self.flows
            .borrow_mut()
            .insert(key, Flow { last_ns, closing });
        self.last_sent.borrow_mut().insert(key.index, last_ns);
    }
}

/// Whether the policy would drop the answer to a packet.
fn answer_is_dropped(frame: &&[u8], headers: &Headers, view: &View<'_>) -> bool {
    let Transport::Ports { src, dst } = headers.transport() else {
        return false;
    };
    let answer = Headers {
        fields: Transport::Ports { src: dst, dst: src }.into(),
        ..*headers
    };
    let service = service(&answer, view.setting(Setting::Essential) != 0);
    let cell = find_cell(frame, &answer, service, Direction::Leaving, view);
    match view.cell(cell).action() {
        Action::Drop | Action::Reject => true,
        Action::Pass | Action::Limit | Action::Trusted => false,
        Action::Undecided => !service.is_essential() && view.setting(Setting::DefaultDrop) != 0,
    }
}
