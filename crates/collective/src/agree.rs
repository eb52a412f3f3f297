//! what each rank says of itself → the first that says something else

/// A rank that says something else than rank 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The first such rank.
    pub rank: usize,
    /// The first fact in which it differs, by its place among all.
    pub fact: usize,
    /// What rank 0 says there.
    pub first: String,
    /// What that rank says there.
    pub here: String,
}

impl Difference {
    /// Compare facts of all ranks, each of which states as many, once `gather` has what each says. All ranks find the same;
    /// `None` if nobody differs.
    ///
    /// # Errors
    /// Those of `gather`.
    pub fn first<E>(
        facts: &[String],
        gather: impl FnOnce(Vec<u8>) -> Result<Vec<Vec<u8>>, E>,
    ) -> Result<Option<Self>, E> {
        let mut mine = Vec::new();
        for fact in facts {
            mine.extend((fact.len() as u64).to_le_bytes());
            mine.extend(fact.as_bytes());
        }
        let all: Vec<Vec<String>> = gather(mine)?.iter().map(|bytes| texts(bytes)).collect();
        let difference = |(rank, here): (usize, &Vec<String>)| {
            let fact = here.iter().zip(&all[0]).position(|(here, first)| here != first)?;
            Some(Self { rank, fact, first: all[0][fact].clone(), here: here[fact].clone() })
        };
        Ok(all.iter().enumerate().find_map(difference))
    }
}

/// Texts, each behind its length.
fn texts(mut bytes: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (text, behind) = rest.split_at(rest.len().min(u64::from_le_bytes(*length) as usize));
        texts.push(String::from_utf8_lossy(text).into_owned());
        bytes = behind;
    }
    texts
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::world::World;

    /// What each rank of a world finds, which states what `facts` has for it.
    fn found(facts: [[&'static str; 2]; 3]) -> Vec<Option<Difference>> {
        let ranks = World::of_threads(3).into_iter().zip(facts);
        let threads: Vec<_> = ranks
            .map(|(world, facts)| {
                thread::spawn(move || Difference::first(&facts.map(str::to_owned), |mine| world.allgather(&mine)))
            })
            .collect();
        threads.into_iter().map(|rank| rank.join().expect("no panic").expect("a world")).collect()
    }

    #[test]
    fn all_ranks_name_the_first_that_differs() {
        assert_eq!(found([["a", "b\0c"]; 3]), [None, None, None]);
        let named = |rank, fact, first: &str, here: &str| {
            vec![Some(Difference { rank, fact, first: first.into(), here: here.into() }); 3]
        };
        assert_eq!(found([["a", "b"], ["a", "b"], ["a", "c"]]), named(2, 1, "b", "c"));
        assert_eq!(found([["a", "b"], ["a", ""], ["", "b"]]), named(1, 1, "b", ""));
        // the same bytes in other facts
        assert_eq!(found([["ab", "c"], ["a", "bc"], ["ab", "c"]]), named(1, 0, "ab", "a"));
    }
}
