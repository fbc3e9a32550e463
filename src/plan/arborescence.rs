//! The minimum-cost arborescence of a directed graph (Chu and Liu 1965, Edmonds 1967).
//! Knows nodes as numbers; node 0 is the root.

/// An edge, with a tag by which the caller knows it again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) cost: u64,
    pub(super) tag: usize,
}

/// The tags of the edges, one into each of the nodes 1 to `nodes - 1`, that reach them all from
/// node 0 at the least total cost. Of equal edges the earlier wins. Nodes that cannot be reached
/// must not be there.
pub(super) fn minimum(nodes: usize, edges: &[Edge]) -> Vec<usize> {
    let picked = pick(nodes, edges);
    let (group, groups) = contract(nodes, edges, &picked);
    if groups == nodes {
        return picked.into_iter().flatten().map(|i| edges[i].tag).collect();
    }
    // Inside the smaller graph an edge costs what it adds to the cycle that it breaks.
    let mut members = vec![0; groups];
    group.iter().for_each(|&g| members[g] += 1);
    let mut smaller = Vec::new();
    for (i, edge) in edges.iter().enumerate() {
        if group[edge.from] != group[edge.to] {
            let saved = if members[group[edge.to]] > 1 {
                cost_into(edges, &picked, edge.to)
            } else {
                0
            };
            let cost = edge.cost - saved;
            smaller.push(Edge {
                from: group[edge.from],
                to: group[edge.to],
                cost,
                tag: i,
            });
        }
    }
    let mut entered = picked;
    for i in minimum(groups, &smaller) {
        entered[edges[i].to] = Some(i);
    }
    entered
        .into_iter()
        .flatten()
        .map(|i| edges[i].tag)
        .collect()
}

/// The cheapest edge into each node.
fn pick(nodes: usize, edges: &[Edge]) -> Vec<Option<usize>> {
    let mut picked: Vec<Option<usize>> = vec![None; nodes];
    for (i, edge) in edges.iter().enumerate() {
        let better = picked[edge.to].is_none_or(|best| edge.cost < edges[best].cost);
        if edge.to != 0 && edge.from != edge.to && better {
            picked[edge.to] = Some(i);
        }
    }
    picked
}

fn cost_into(edges: &[Edge], picked: &[Option<usize>], node: usize) -> u64 {
    picked[node].map_or(0, |i| edges[i].cost)
}

/// Numbers the nodes so that those of one cycle share a number, and counts the numbers. The
/// root stays 0.
fn contract(nodes: usize, edges: &[Edge], picked: &[Option<usize>]) -> (Vec<usize>, usize) {
    const NEW: usize = usize::MAX;
    let (mut group, mut groups) = (vec![NEW; nodes], 1);
    let mut visited_from = vec![NEW; nodes];
    group[0] = 0;
    for start in 1..nodes {
        let mut at = start;
        while group[at] == NEW && visited_from[at] == NEW {
            visited_from[at] = start;
            match picked[at] {
                Some(i) => at = edges[i].from,
                None => break,
            }
        }
        if group[at] == NEW && visited_from[at] == start && picked[at].is_some() {
            // Back where this walk has been: once around the cycle.
            let mut member = at;
            while group[member] == NEW {
                group[member] = groups;
                member = picked[member].map_or(member, |i| edges[i].from);
            }
            groups += 1;
        }
        // The rest of the walk leads into what is numbered already.
        let mut at = start;
        while group[at] == NEW {
            group[at] = groups;
            groups += 1;
            at = picked[at].map_or(at, |i| edges[i].from);
        }
    }
    (group, groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(seed: &mut u64, below: u64) -> u64 {
        *seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (*seed >> 33) % below
    }

    /// Tries every choice of one edge into each node.
    fn brute_force(nodes: usize, edges: &[Edge]) -> Option<u64> {
        let into: Vec<Vec<&Edge>> = (1..nodes)
            .map(|n| edges.iter().filter(|e| e.to == n).collect())
            .collect();
        let choices: usize = into.iter().map(Vec::len).product();
        let mut best = None;
        for mut choice in 0..choices {
            let mut chosen = Vec::new();
            for edges in &into {
                chosen.push(edges[choice % edges.len()]);
                choice /= edges.len();
            }
            let reaches = |mut at: usize| {
                for _ in 0..nodes {
                    if at == 0 {
                        return true;
                    }
                    at = chosen[at - 1].from;
                }
                false
            };
            if (1..nodes).all(reaches) {
                let cost = chosen.iter().map(|e| e.cost).sum();
                best = Some(best.map_or(cost, |b: u64| b.min(cost)));
            }
        }
        best
    }

    #[test]
    fn as_good_as_brute_force() {
        let mut seed = 7;
        for round in 0..3000 {
            let nodes = 2 + random(&mut seed, 5) as usize;
            // Every node can be reached from the root, at some price.
            let mut edges: Vec<Edge> = Vec::new();
            for to in 1..nodes {
                let cost = 5 + random(&mut seed, 40);
                edges.push(Edge {
                    from: 0,
                    to,
                    cost,
                    tag: edges.len(),
                });
                for _ in 0..random(&mut seed, 4) {
                    let from = 1 + random(&mut seed, nodes as u64 - 1) as usize;
                    if from != to {
                        edges.push(Edge {
                            from,
                            to,
                            cost: random(&mut seed, 20),
                            tag: edges.len(),
                        });
                    }
                }
            }
            let chosen = minimum(nodes, &edges);
            assert_eq!(chosen.len(), nodes - 1, "round {round}");
            let cost: u64 = chosen.iter().map(|&tag| edges[tag].cost).sum();
            assert_eq!(
                Some(cost),
                brute_force(nodes, &edges),
                "round {round}: {edges:?}"
            );
        }
    }
}
