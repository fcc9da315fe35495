//! A table whose places are used again, with names that go stale for good.

/// Things that come and go, each with a place that is used again. No allocation once it is as large as it gets.
///
/// A place's generation is odd while something is there, so that one comparison tells whether a name is good.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<(u32, T)>,
    free: Vec<u32>,
}

/// A thing's name: stays wrong for good once the thing has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) place: u32,
    generation: u32,
}

impl Key {
    /// The name of nothing.
    pub(crate) const NONE: Key = Key { place: u32::MAX, generation: 0 };
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { places: Vec::new(), free: Vec::new() }
    }
}

impl<T: Copy> Slab<T> {
    #[inline]
    pub(crate) fn insert(&mut self, content: T) -> Key {
        if let Some(place) = self.free.pop() {
            let found = &mut self.places[place as usize];
            let generation = found.0.wrapping_add(1);
            *found = (generation, content);
            return Key { place, generation };
        }
        let place = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        assert!(place < u32::MAX, "a table holds fewer than 2^32 things");
        self.places.push((1, content));
        Key { place, generation: 1 }
    }

    #[inline]
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let found = self.places.get_mut(key.place as usize)?;
        if found.0 != key.generation {
            return None;
        }
        found.0 = found.0.wrapping_add(1);
        self.free.push(key.place);
        Some(found.1)
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let found = self.places.get(key.place as usize)?;
        if found.0 == key.generation { Some(&found.1) } else { None }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let found = self.places.get_mut(key.place as usize)?;
        if found.0 == key.generation { Some(&mut found.1) } else { None }
    }

    /// The name of what is at a place now.
    #[inline]
    pub(crate) fn key_at(&self, place: u32) -> Option<Key> {
        let &(generation, _) = self.places.get(place as usize)?;
        (generation % 2 == 1).then_some(Key { place, generation })
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// All things, in the order of their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.places.iter().zip(0_u32..).filter_map(|((generation, content), place)| {
            (generation % 2 == 1).then_some((Key { place, generation: *generation }, content))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_does_not_outlive_its_thing() {
        let mut slab = Slab::default();
        let first = slab.insert('a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('b');
        assert_eq!(second.place, first.place, "the place is used again");
        assert_eq!((slab.get(first), slab.get(second)), (None, Some(&'b')));
        assert_eq!((slab.remove(first), slab.len()), (None, 1));
        assert_eq!(slab.key_at(second.place), Some(second));
        assert_eq!(slab.get(Key::NONE), None);
    }
}
