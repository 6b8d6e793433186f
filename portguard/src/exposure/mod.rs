//! What of this host can be reached from outside: its sockets, seen together with its addresses and a policy.

pub mod audit;
mod fate;
pub mod suggest;
mod ways;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use portguard_policy::{Policy, Tables, Traffic, TrafficProtocol, TrafficSurvey, Transport};

use crate::host::sockets::{Families, Socket};
use crate::policy_file::Loaded;

pub(crate) use fate::share;
pub use fate::{Fate, Openness};
pub use ways::{Point, Way, ways};

/// A policy that is held against this host.
#[derive(Debug)]
pub struct Filter {
    /// Where it comes from.
    pub origin: Origin,
    /// What it says.
    pub policy: Policy,
    /// Its tables, for the interfaces that it guards.
    pub tables: Tables,
    /// The text, with its place.
    pub path: PathBuf,
    /// Names of the interfaces that it guards.
    pub guarded: BTreeSet<String>,
}

/// Where a policy comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is in force: the running daemon has told it, with its number.
    InForce(u64),
    /// It is in a file, whatever is in force.
    File,
}

impl Filter {
    /// A policy that guards these interfaces.
    ///
    /// # Errors
    ///
    /// When its tables for them are too large.
    pub fn new(
        loaded: Loaded,
        origin: Origin,
        guarded: BTreeSet<String>,
    ) -> Result<Self, portguard_policy::CompileError> {
        let Loaded {
            file,
            policy,
            mut tables,
            ..
        } = loaded;
        if policy.tells_interfaces_apart() {
            let names: Vec<&str> = guarded.iter().map(String::as_str).collect();
            tables = portguard_policy::compile(&policy, &names)?;
        }
        Ok(Self {
            origin,
            policy,
            tables,
            path: file.path,
            guarded,
        })
    }
}

/// A place at which packets from outside may be taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Its protocol.
    pub transport: Transport,
    /// Its port.
    pub port: u16,
    /// Its address; `None` for any address of this host.
    pub address: Option<IpAddr>,
    /// Of which packets it takes.
    pub families: Families,
    /// Index of the interface that it is bound to.
    pub bound: Option<u32>,
}

impl Endpoint {
    /// Those of a socket that can be reached from outside.
    #[must_use]
    pub fn of(socket: &Socket) -> Vec<Self> {
        let Some(transport) = socket.transport() else {
            return Vec::new();
        };
        let reachable = socket.locals().filter(|address| !address.is_loopback());
        reachable
            .map(|address| Self {
                transport,
                port: socket.local.port(),
                address: Some(address).filter(|own| !own.is_unspecified()),
                families: socket.families,
                bound: socket.bound,
            })
            .collect()
    }

    fn takes(&self, address: IpAddr) -> bool {
        match self.families {
            Families::V4 => address.is_ipv4(),
            Families::V6 => address.is_ipv6(),
            Families::Both => true,
        }
    }
}

/// Judges endpoints by a policy.
pub struct Judge<'f> {
    filter: Option<(&'f Filter, TrafficSurvey<'f>)>,
    ways: &'f [Way],
}

impl<'f> Judge<'f> {
    /// By this policy, or by none, on a host with these ways in.
    #[must_use]
    pub fn new(filter: Option<&'f Filter>, ways: &'f [Way]) -> Self {
        Self {
            filter: filter.map(|own| (own, TrafficSurvey::new(&own.tables))),
            ways,
        }
    }

    /// The policy.
    #[must_use]
    pub fn filter(&self) -> Option<&'f Filter> {
        self.filter.as_ref().map(|(filter, _)| *filter)
    }

    /// What becomes of packets to an endpoint.
    #[must_use]
    pub fn fate(&self, endpoint: &Endpoint) -> Fate {
        let mut unfiltered = Vec::new();
        let mut is_bare = false;
        let mut traffic = Vec::new();
        for way in self.ways_to(endpoint) {
            let points = match (&self.filter, &way.filtered) {
                (Some(_), Some(points)) => points,
                _ => {
                    unfiltered.push(way.name.clone());
                    is_bare |= way.is_outside;
                    continue;
                }
            };
            for point in points {
                traffic.extend(self.traffic(endpoint, way, point));
            }
        }
        let judged = match &self.filter {
            Some((_, survey)) => survey.by_source(&traffic),
            None => Ok(Vec::new()),
        };
        let enforced = self.filter().is_none_or(|own| own.policy.enforce);
        Fate::new(judged, unfiltered, is_bare, enforced)
    }

    /// The ways by which an endpoint is reached: that with its address, or all.
    fn ways_to(&self, endpoint: &Endpoint) -> Vec<&'f Way> {
        let fits = |way: &&Way| match (endpoint.bound, endpoint.address) {
            (Some(index), _) => way.index == index,
            (None, Some(address)) => way.addresses.contains(&address),
            (None, None) => true,
        };
        let found: Vec<&Way> = self.ways.iter().filter(fits).collect();
        // An address of a group, or one that no interface has.
        if found.is_empty() && endpoint.bound.is_none() {
            self.ways.iter().collect()
        } else {
            found
        }
    }

    /// Packets to an endpoint that come to a point: to each address of the way if the policy tells destinations apart.
    fn traffic(&self, endpoint: &Endpoint, way: &Way, point: &Point) -> Vec<Traffic> {
        let to = |destination| Traffic {
            protocol: Some(TrafficProtocol::Transport(endpoint.transport)),
            destination,
            destination_port: Some(endpoint.port),
            interface: Some(point.name.clone()),
            vlan: Some(point.vlan),
            ..Traffic::default()
        };
        let addresses = match endpoint.address {
            Some(address) => vec![address],
            None => way.addresses.clone(),
        };
        let mut traffic: Vec<Traffic> = addresses
            .into_iter()
            .filter(|address| endpoint.takes(*address))
            .filter_map(fate::host_prefix)
            .map(|prefix| to(Some(prefix)))
            .collect();
        // Without an address of the family nobody can ask, but one may come.
        if traffic.is_empty() {
            traffic.push(to(fate::whole(endpoint.families)));
        }
        traffic
    }
}
