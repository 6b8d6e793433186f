//! Groups of users, by name.

use std::fs;

/// The table of groups. It is read by hand: the C library may ask a directory over the network, which is not there yet
/// when a packet filter starts.
const TABLE: &str = "/etc/group";

/// Why there is no such group.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// The table cannot be read.
    #[error("cannot read `{TABLE}`: {0}")]
    Unreadable(std::io::Error),
    /// It has no such line.
    #[error(
        "no group is called `{0}` in `{TABLE}`; make it with `groupadd --system {0}`, or give its number"
    )]
    Unknown(String),
}

/// The number of a group that is given by name or by number.
///
/// # Errors
///
/// [`GroupError`] when the host has no such group.
pub fn number_of(group: &str) -> Result<u32, GroupError> {
    match group.parse() {
        // This one means "no change" to the kernel.
        Ok(number) if number != u32::MAX => Ok(number),
        _ => find(
            &fs::read_to_string(TABLE).map_err(GroupError::Unreadable)?,
            group,
        ),
    }
}

fn find(table: &str, group: &str) -> Result<u32, GroupError> {
    table
        .lines()
        .filter_map(|line| {
            // `name:password:number:members`
            let mut fields = line.split(':');
            let name = fields.next()?;
            let number = fields.nth(1)?.parse().ok()?;
            (name == group).then_some(number)
        })
        .next()
        .ok_or_else(|| GroupError::Unknown(group.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        let table = "root:x:0:\n# adm:x:1:\nadmin:x:7:a,b\nadm:x:4:syslog\nbroken\nodd:x:y:\n";
        assert_eq!(find(table, "adm").unwrap(), 4);
        assert_eq!(find(table, "admin").unwrap(), 7);
        for unknown in ["ad", "broken", "odd", "", "x"] {
            assert!(find(table, unknown).is_err(), "{unknown}");
        }
    }

    #[test]
    fn a_number_is_taken_as_it_is() {
        assert_eq!(number_of("4711").unwrap(), 4711);
        for wrong in ["4294967295", "4294967296", "-1", "no such group"] {
            number_of(wrong).unwrap_err();
        }
    }
}
