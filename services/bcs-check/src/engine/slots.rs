//! Checks by number. A number is used again; its generation tells who is meant.

use super::CheckId;
use super::check::Check;

/// All checks.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    check: Option<Box<Check>>,
}

impl Slots {
    pub fn insert(&mut self, check: Check) -> CheckId {
        let check = Some(Box::new(check));
        if let Some(number) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(number as usize)
        {
            slot.check = check;
            return CheckId { number, generation: slot.generation };
        }
        // Far fewer checks fit into memory.
        let number = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot { generation: 0, check });
        CheckId { number, generation: 0 }
    }

    pub fn get_mut(&mut self, id: CheckId) -> Option<&mut Check> {
        let slot = self.slots.get_mut(id.number as usize).filter(|slot| slot.generation == id.generation)?;
        slot.check.as_deref_mut()
    }

    pub fn remove(&mut self, id: CheckId) -> Option<Box<Check>> {
        let slot = self.slots.get_mut(id.number as usize).filter(|slot| slot.generation == id.generation)?;
        let check = slot.check.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.number);
        Some(check)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Check> {
        self.slots.iter().filter_map(|slot| slot.check.as_deref())
    }

    /// The ids of all checks.
    pub fn ids(&self) -> Vec<CheckId> {
        let numbered = (0..).zip(&self.slots);
        let used = numbered.filter(|(_, slot)| slot.check.is_some());
        used.map(|(number, slot)| CheckId { number, generation: slot.generation }).collect()
    }
}
