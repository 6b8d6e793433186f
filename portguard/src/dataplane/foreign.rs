//! Naming a program that is not ours.

use aya::programs::links::LinkType;
use aya::programs::{loaded_links, loaded_programs};

/// The name of a program by its ID, where the kernel tells: it asks for CAP_SYS_ADMIN.
#[must_use]
pub fn program_name(id: u32) -> Option<String> {
    loaded_programs()
        .filter_map(Result::ok)
        .find(|program| program.id() == id)
        .and_then(|program| program.name_as_str().map(str::to_owned))
        .filter(|name| !name.is_empty())
}

/// What holds a program at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A link of this ID, of which `ip` cannot rid it.
    Link(u32),
    /// None: it was put there over netlink.
    Nothing,
    /// The kernel does not tell (it asks for CAP_SYS_ADMIN), or there are several links.
    Unknown,
}

/// What holds the XDP program of this ID.
#[must_use]
pub fn holder(program_id: u32) -> Holder {
    let mut holder = Holder::Nothing;
    for link in loaded_links() {
        match link {
            Ok(link)
                if link.program_id() == program_id
                    && matches!(link.link_type(), Ok(LinkType::Xdp)) =>
            {
                holder = match holder {
                    Holder::Nothing => Holder::Link(link.id()),
                    Holder::Link(_) | Holder::Unknown => Holder::Unknown,
                };
            }
            Ok(_) => {}
            Err(_) => return Holder::Unknown,
        }
    }
    holder
}
