/// Things that come and go, each with a place that is used again. No allocation once it is as large as it gets.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    content: Option<T>,
}

/// A thing's name: stays wrong for good once the thing has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) place: u32,
    generation: u32,
}

impl Key {
    /// The name of nothing.
    pub(crate) const NONE: Key = Key { place: u32::MAX, generation: u32::MAX };
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub(crate) fn insert(&mut self, content: T) -> Key {
        if let Some(place) = self.free.pop() {
            let found = &mut self.places[place as usize];
            found.content = Some(content);
            return Key { place, generation: found.generation };
        }
        let place = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        assert!(place < u32::MAX, "a table holds fewer than 2^32 things");
        self.places.push(Place { generation: 0, content: Some(content) });
        Key { place, generation: 0 }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let found = self.places.get_mut(key.place as usize)?;
        if found.generation != key.generation {
            return None;
        }
        let content = found.content.take()?;
        found.generation = found.generation.wrapping_add(1);
        self.free.push(key.place);
        Some(content)
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let found = self.places.get(key.place as usize)?;
        if found.generation == key.generation { found.content.as_ref() } else { None }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let found = self.places.get_mut(key.place as usize)?;
        if found.generation == key.generation { found.content.as_mut() } else { None }
    }

    /// The name of what is at a place now.
    pub(crate) fn key_at(&self, place: u32) -> Option<Key> {
        let found = self.places.get(place as usize)?;
        found.content.as_ref().map(|_| Key { place, generation: found.generation })
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// All things, in the order of their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.places.iter().zip(0_u32..).filter_map(|(found, place)| {
            let content = found.content.as_ref()?;
            Some((Key { place, generation: found.generation }, content))
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
