//! The file of the selection, read again and again.
//!
//! Invariant (`doubt_keeps`): a namespace leaves the selection only by a text that was seen twice. Editors and `cp` truncate before
//! they write, and an empty text selects nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::info;

use super::{Selection, SelectionError};
use crate::watch::EmptySelection;
use crate::watch::board::{Board, Matter};

/// How often the file is looked at. A ConfigMap that is mounted changes by a swap of links, which notifications miss.
const LOOK: Duration = Duration::from_secs(1);

/// Reads the file again whenever it changes, for ever. A file that breaks keeps the selection that was read last; without
/// one the selection never changes.
pub(in crate::watch) async fn follow(
    file: Option<PathBuf>,
    selection: watch::Sender<Arc<Selection>>,
    board: Board,
    on_empty: EmptySelection,
) {
    let Some(file) = file else { return selection.closed().await };
    let mut follower = Follower { selection, board, on_empty, first_look: None };
    loop {
        tokio::time::sleep(LOOK).await;
        follower.look(Selection::read(&file));
    }
}

/// Who decides what is believed of the file.
struct Follower {
    selection: watch::Sender<Arc<Selection>>,
    board: Board,
    on_empty: EmptySelection,
    /// What takes something away and was seen once.
    first_look: Option<Selection>,
}

impl Follower {
    fn look(&mut self, read: Result<Selection, SelectionError>) {
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                let reason = arcstr::format!("it cannot be read, and the last one stays in effect: {error}");
                return self.board.complain(Matter::File, Some(reason));
            }
        };
        self.board.complain(Matter::File, None);
        let now = self.selection.borrow().clone();
        let takes = !read.is_wider_than(&now);
        if takes && self.first_look.as_ref() != Some(&read) {
            self.first_look = Some(read);
            return;
        }
        if read.is_empty() && !now.is_empty() && self.on_empty == EmptySelection::Wait {
            let reason = "the file selects no namespace, and the last selection stays in effect: name one, label one, or start with \
                          --on-empty-selection=serve to serve nothing";
            return self.board.complain(Matter::EmptyFile, Some(reason.into()));
        }
        self.first_look = None;
        self.board.complain(Matter::EmptyFile, None);
        if *now != read {
            info!(names = read.names.len(), selector = read.selector.is_some(), "the selection of namespaces changed");
            self.selection.send_replace(Arc::new(read));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn selected(names: &[&str], selector: Option<&str>, foreign: &[&str]) -> Selection {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Selection::new(&owned(names), selector, &owned(foreign)).unwrap()
    }

    fn follower(first: &Selection, on_empty: EmptySelection) -> Follower {
        let board = Board::new(BTreeMap::new(), None, Arc::new(|_| {}));
        Follower { selection: watch::Sender::new(Arc::new(first.clone())), board, on_empty, first_look: None }
    }

    /// Looks at these in turn and gives what is selected after each.
    fn looks(follower: &mut Follower, reads: &[&Selection]) -> Vec<Selection> {
        let look = |read: &&Selection| {
            follower.look(Ok((*read).clone()));
            (**follower.selection.borrow()).clone()
        };
        reads.iter().map(look).collect()
    }

    #[test]
    fn what_takes_away_is_believed_at_the_second_look() {
        let wide = selected(&["shop", "blog"], Some("team=web"), &["shared"]);
        for narrow in [
            selected(&["shop"], Some("team=web"), &["shared"]),
            selected(&["shop", "blog"], None, &["shared"]),
            selected(&["shop", "blog"], Some("team=db"), &["shared"]),
            selected(&["shop", "blog"], Some("team=web"), &[]),
        ] {
            let mut follower = follower(&wide, EmptySelection::Wait);
            let seen = looks(&mut follower, &[&narrow, &wide, &narrow, &narrow]);
            assert_eq!(seen, [&wide, &wide, &wide, &narrow].map(Clone::clone));
        }
        let wider = selected(&["shop", "blog", "more"], Some("team=web"), &["shared"]);
        let mut follower = follower(&wide, EmptySelection::Wait);
        assert_eq!(looks(&mut follower, &[&wider]), [wider], "what adds is believed at once");
    }

    #[test]
    fn a_file_that_becomes_empty_keeps_what_was_selected_and_says_so() {
        let (some, none) = (selected(&["shop"], None, &[]), Selection::default());
        let mut waits = follower(&some, EmptySelection::Wait);
        assert_eq!(looks(&mut waits, &[&none]).last(), Some(&some));
        assert_eq!(waits.board.complaint(Matter::EmptyFile), None, "it may be about to be written");
        assert_eq!(looks(&mut waits, &[&none, &none]), [some.clone(), some.clone()]);
        let complaint = waits.board.complaint(Matter::EmptyFile).unwrap();
        assert!(complaint.contains("--on-empty-selection=serve"), "{complaint}");
        looks(&mut waits, &[&some]);
        assert_eq!(waits.board.complaint(Matter::EmptyFile), None);

        let mut serves = follower(&some, EmptySelection::Serve);
        assert_eq!(looks(&mut serves, &[&none, &none]), [some, none]);
    }

    #[test]
    fn a_file_that_breaks_keeps_what_was_selected() {
        let some = selected(&["shop"], None, &[]);
        let mut follower = follower(&some, EmptySelection::Wait);
        follower.look(Err(SelectionError::Name("Shop".to_owned())));
        assert_eq!(**follower.selection.borrow(), some);
        assert!(follower.board.complaint(Matter::File).unwrap().contains("\"Shop\" is no name"));
        looks(&mut follower, &[&some]);
        assert_eq!(follower.board.complaint(Matter::File), None);
    }
}
