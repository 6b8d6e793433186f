//! Naming a program that is not ours.

use aya::programs::loaded_programs;

/// The name of a program by its ID, where the kernel tells: it asks for CAP_SYS_ADMIN.
pub(super) fn program_name(id: u32) -> Option<String> {
    loaded_programs()
        .filter_map(Result::ok)
        .find(|program| program.id() == id)
        .and_then(|program| program.name_as_str().map(str::to_owned))
        .filter(|name| !name.is_empty())
}
