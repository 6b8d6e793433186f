//! A generation on trial: the programs that choose between it and the one before it, and the words by which they do.

use std::time::Duration;

use aya::maps::{Array, HashMap, MapData, ProgramArray};
use aya::programs::{ProgramFd, SchedClassifier, Xdp};
use portguard_common::abi::{symbol, trial};

use super::clock::boot_time_ns;
use super::generation::{Generation, LoadError, Programs};
use super::programs::{self, descriptor, loaded, own};
use super::{kernel, link};

impl Generation {
    /// Makes the programs of a trial of this generation: for `duration` from now, packets go to it, and unless
    /// [`Generation::confirm`] comes in time, to `before` from then on, on the interfaces that `before` guards.
    ///
    /// # Errors
    ///
    /// [`LoadError`]; there is no trial then.
    pub fn begin_trial(
        &mut self,
        before: &Generation,
        guarded_before: impl Iterator<Item = u32>,
        duration: Duration,
    ) -> Result<(), LoadError> {
        let (program, egress) = names();
        programs::load(self.ebpf_mut(), &[Some(program), Some(egress)])?;
        for (place, generation) in [(trial::BEFORE, Some(before)), (trial::ON_TRIAL, None)] {
            let generation = generation.unwrap_or(self);
            let xdp = own(generation.xdp()?.fd())?;
            let egress = match generation.watches_egress() {
                true => Some(own(generation.classifier()?.fd())?),
                false => None,
            };
            self.choose(symbol::CHOICES, place, &xdp)?;
            if let Some(egress) = egress {
                self.choose(symbol::EGRESS_CHOICES, place, &egress)?;
            }
        }
        for ifindex in guarded_before {
            self.guarded_before(ifindex)?;
        }
        let duration = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.set_word(trial::DEADLINE, boot_time_ns().saturating_add(duration))
    }

    /// Puts down that the generation before guards an interface, too.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the kernel refuses.
    pub fn guarded_before(&mut self, ifindex: u32) -> Result<(), LoadError> {
        let name = symbol::GUARDED_BEFORE;
        let error = |source| LoadError::Map { name, source };
        let map = self.ebpf_mut().map_mut(name);
        let mut map: HashMap<_, u32, u32> =
            HashMap::try_from(map.ok_or(LoadError::Missing(name))?).map_err(error)?;
        map.insert(ifindex, 1, 0).map_err(error)
    }

    /// The programs of the trial, to attach them.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when there is no trial.
    pub fn trial_programs(&self, before: &Generation) -> Result<Programs<'_>, LoadError> {
        let (program, egress) = names();
        let xdp: &Xdp = loaded(self.ebpf(), program)?;
        let classifier: &SchedClassifier = loaded(self.ebpf(), egress)?;
        let watches = self.watches_egress() || before.watches_egress();
        let egress = match watches {
            true => Some(descriptor(classifier.fd())?),
            false => None,
        };
        Ok(Programs {
            xdp: descriptor(xdp.fd())?,
            egress,
        })
    }

    /// Ends the trial for good, with this generation in force, unless its time was over before. `true` if it is.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the kernel refuses.
    pub fn confirm(&mut self) -> Result<bool, LoadError> {
        if boot_time_ns() >= self.word(trial::DEADLINE)? {
            self.expire()?;
            return Ok(false);
        }
        self.set_word(trial::CONFIRMED, 1)?;
        // A program that did not see it yet may be about to say that the time is over, which counts.
        link::wait_for_running_programs();
        Ok(self.word(trial::EXPIRED)? == 0)
    }

    /// Ends the trial for good, with the generation before in force.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the kernel refuses.
    pub fn expire(&mut self) -> Result<(), LoadError> {
        self.set_word(trial::EXPIRED, 1)
    }

    fn choose(
        &mut self,
        name: &'static str,
        place: u32,
        program: &ProgramFd,
    ) -> Result<(), LoadError> {
        let error = |source| LoadError::Map { name, source };
        let map = self.ebpf_mut().map_mut(name);
        let mut map =
            ProgramArray::try_from(map.ok_or(LoadError::Missing(name))?).map_err(error)?;
        map.set(place, program, 0).map_err(error)
    }

    fn word(&self, index: u32) -> Result<u64, LoadError> {
        let name = symbol::TRIAL;
        let error = |source| LoadError::Map { name, source };
        let map: Array<&MapData, u64> = Array::try_from(self.map(name)?).map_err(error)?;
        map.get(&index, 0).map_err(error)
    }

    fn set_word(&mut self, index: u32, value: u64) -> Result<(), LoadError> {
        let name = symbol::TRIAL;
        let error = |source| LoadError::Map { name, source };
        let map = self.ebpf_mut().map_mut(name);
        let mut map: Array<_, u64> =
            Array::try_from(map.ok_or(LoadError::Missing(name))?).map_err(error)?;
        map.set(index, value, 0).map_err(error)
    }
}

/// The programs of this kernel.
fn names() -> (&'static str, &'static str) {
    let program = if kernel::has_multi_buffer() {
        symbol::TRIAL_PROGRAM
    } else {
        symbol::TRIAL_PROGRAM_LINEAR
    };
    (program, symbol::TRIAL_EGRESS)
}
