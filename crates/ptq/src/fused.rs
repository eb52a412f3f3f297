//! names → groups of matrices that servers join into one, whose NVFP4 scales must be relative to one number.
//!
//! The groups are those of llm-compressor: queries, keys and values; gate and up projection; w1 and w3 of an expert.

use std::collections::BTreeMap;

/// What the module of a matrix is called, where it stands, and with which others it is joined.
const FUSED: [(&[&str], &[&str]); 4] = [
    (&["attn", "attention"], &["q_proj", "k_proj", "v_proj"]),
    (&["attn", "attention"], &["wq_a", "wkv_a_with_mqa"]),
    (&["mlp"], &["gate_proj", "up_proj"]),
    (&[], &["w1", "w3"]),
];

/// The group that each of `names` is in: those of equal numbers share their factor. Only whole groups are groups.
pub(crate) fn groups<'n>(names: impl Iterator<Item = &'n str>) -> BTreeMap<&'n str, usize> {
    let mut found: BTreeMap<(&str, usize), Vec<&str>> = BTreeMap::new();
    for name in names {
        let Some((parent, leaf)) = name.strip_suffix(".weight").and_then(|module| module.rsplit_once('.')) else {
            continue;
        };
        let is_fused = |(parents, leaves): &(&[&str], &[&str])| {
            leaves.contains(&leaf) && (parents.is_empty() || parents.iter().any(|ending| parent.ends_with(ending)))
        };
        if let Some(rule) = FUSED.iter().position(is_fused) {
            found.entry((parent, rule)).or_default().push(name);
        }
    }
    let whole = found.into_iter().filter(|((_, rule), names)| names.len() == FUSED[*rule].1.len());
    whole.enumerate().flat_map(|(group, (_, names))| names.into_iter().map(move |name| (name, group))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_that_servers_join_are_in_a_group_if_all_are_there() {
        let names = [
            "l.0.self_attn.q_proj.weight",
            "l.0.self_attn.k_proj.weight",
            "l.0.self_attn.v_proj.weight",
            "l.0.self_attn.q_proj.bias",
            "l.0.self_attn.o_proj.weight",
            "l.1.self_attn.q_proj.weight",
            "l.1.self_attn.k_proj.weight",
            "l.0.mlp.gate_proj.weight",
            "l.0.mlp.up_proj.weight",
            "l.0.mlp.experts.0.gate_proj.weight",
            "l.0.mlp.experts.0.up_proj.weight",
            "l.0.moe.experts.0.w1.weight",
            "l.0.moe.experts.0.w3.weight",
            "l.0.moe.experts.1.w1.weight",
        ];
        let groups = groups(names.into_iter());
        let of = |name: &str| groups.get(name).copied();
        assert!(of(names[0]).is_some() && of(names[0]) == of(names[1]) && of(names[0]) == of(names[2]));
        assert!(of(names[7]).is_some() && of(names[7]) == of(names[8]) && of(names[7]) != of(names[0]));
        assert!(of(names[11]).is_some() && of(names[11]) == of(names[12]));
        for alone in [3, 4, 5, 6, 9, 10, 13] {
            assert_eq!(of(names[alone]), None, "{}", names[alone]);
        }
    }
}
