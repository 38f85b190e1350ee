//! What waits for one sink: of each group the newest message only, and no more than so many.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::message::Message;

/// A message, and since when it waits.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub message: Arc<Message>,
    pub since: Instant,
}

#[derive(Debug)]
pub struct Queue {
    waiting: VecDeque<Waiting>,
    capacity: usize,
}

impl Queue {
    pub fn new(capacity: usize) -> Self {
        Self { waiting: VecDeque::new(), capacity }
    }

    /// Takes `message`, in place of an older one of the same group. Returns whether there was room.
    pub fn push(&mut self, message: &Arc<Message>, now: Instant) -> bool {
        if let Some(older) = self.waiting.iter_mut().find(|w| w.message.id() == message.id()) {
            older.message = newer(&older.message, message);
            // What it says is as of now, so it has its time from now.
            older.since = now;
            return true;
        }
        if self.waiting.len() >= self.capacity {
            return false;
        }
        self.waiting.push_back(Waiting { message: Arc::clone(message), since: now });
        true
    }

    /// The one that has waited longest.
    pub fn pop(&mut self) -> Option<Waiting> {
        self.waiting.pop_front()
    }

    /// Takes back one that could not be delivered, behind the others, unless a newer one of its group has
    /// come. Returns whether there was room.
    pub fn put_back(&mut self, failed: Waiting) -> bool {
        let id = failed.message.id();
        if let Some(waiting) = self.waiting.iter_mut().find(|w| w.message.id() == id) {
            waiting.message = newer(&failed.message, &waiting.message);
            return true;
        }
        let room = self.waiting.len() < self.capacity;
        if room {
            self.waiting.push_back(failed);
        }
        room
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}

/// `message` instead of `older`, which nobody has seen.
fn newer(older: &Message, message: &Arc<Message>) -> Arc<Message> {
    match older.is_first() && message.is_firing() {
        true => Arc::new(message.as_first()),
        false => Arc::clone(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::tests::group;
    use crate::model::group::GroupStatus::{Firing, Growing, Resolved};

    fn told(queue: &mut Queue) -> Vec<String> {
        let show = |w: Waiting| format!("{} {}", w.message.id(), w.message.status());
        std::iter::from_fn(|| queue.pop()).map(show).collect()
    }

    #[test]
    fn the_newest_of_a_group_takes_the_place_of_older_ones() {
        let (mut queue, now) = (Queue::new(9), Instant::now());
        for message in [
            group("a", Firing),
            group("b", Firing),
            group("a", Growing),
            group("c", Growing),
            group("b", Resolved),
            group("c", Growing),
        ] {
            assert!(queue.push(&message, now));
        }
        assert_eq!(queue.len(), 3);
        // Whoever has heard nothing of `a` hears that it fires.
        assert_eq!(told(&mut queue), ["a firing", "b resolved", "c growing"]);
    }

    #[test]
    fn what_failed_comes_back_behind_the_others_and_never_over_a_newer_one() {
        let (mut queue, now) = (Queue::new(2), Instant::now());
        queue.push(&group("a", Firing), now);
        queue.push(&group("b", Firing), now);
        let failed = queue.pop().unwrap();
        assert!(queue.put_back(failed));
        let failed = queue.pop().unwrap();
        assert_eq!(&**failed.message.id(), "b");
        queue.push(&group("b", Growing), now);
        assert!(queue.put_back(failed));
        assert_eq!(told(&mut queue), ["a firing", "b firing"]);
    }

    #[test]
    fn it_takes_no_more_than_so_many() {
        let (mut queue, now) = (Queue::new(1), Instant::now());
        assert!(queue.push(&group("a", Firing), now));
        assert!(!queue.push(&group("b", Firing), now));
        let a = queue.pop().unwrap();
        assert!(queue.push(&group("b", Firing), now));
        assert!(!queue.put_back(a));
        assert_eq!(told(&mut queue), ["b firing"]);
    }
}
