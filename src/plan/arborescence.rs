//! The minimum-cost arborescence of a directed graph (Chu and Liu 1965, Edmonds 1967), in n log n as
//! Tarjan (1977) has it. Knows nodes as numbers; node 0 is the root.

/// An edge, with a tag by which the caller knows it again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) cost: u64,
    pub(super) tag: usize,
}

/// The edges, one into each of the nodes 1 to `nodes - 1` and in their order, that reach them all from
/// node 0 at the least total cost. Of equal edges the earlier wins. Nodes that cannot be reached
/// must not be there.
pub(super) fn minimum(nodes: usize, edges: &[Edge]) -> Vec<Edge> {
    let mut groups = Groups::new(nodes, edges);
    for node in 1..nodes {
        groups.walk_back(node);
    }
    let entered = groups.entered().into_iter().take(nodes);
    entered.flatten().map(|i| edges[i]).collect()
}

/// Nodes, and cycles of them that were made one: a group is a node, or a cycle of groups. Those of cycles
/// have the numbers above the nodes.
struct Groups<'a> {
    edges: &'a [Edge],
    heaps: Heaps,
    groups: Vec<Group>,
}

#[derive(Clone, Default)]
struct Group {
    /// The edges into it, the cheapest at the top.
    incoming: Option<usize>,
    /// The cheapest from outside.
    picked: Option<usize>,
    /// The group of the cycle that it is in.
    within: Option<usize>,
    /// A way up to the outermost, shorter each time that it was taken.
    up: Option<usize>,
    /// The first node of the walk that came here.
    walked_from: Option<usize>,
}

impl<'a> Groups<'a> {
    fn new(nodes: usize, edges: &'a [Edge]) -> Groups<'a> {
        let mut all = Groups {
            edges,
            heaps: Heaps::new(edges),
            groups: vec![Group::default(); nodes],
        };
        all.groups[0].walked_from = Some(0);
        for (i, edge) in edges.iter().enumerate().filter(|(_, edge)| edge.to != 0) {
            let incoming = all.groups[edge.to].incoming;
            all.groups[edge.to].incoming = all.heaps.merge(incoming, Some(i));
        }
        all
    }

    /// The outermost group that a node is in.
    fn outermost(&mut self, mut at: usize) -> usize {
        while let Some(up) = self.groups[at].up {
            self.groups[at].up = self.groups[up].up.or(Some(up));
            at = up;
        }
        at
    }

    /// Goes back along the cheapest edges until where an earlier walk has been, or the root. A cycle on the
    /// way becomes one group, from which it goes on.
    fn walk_back(&mut self, first: usize) {
        let mut path = vec![self.outermost(first)];
        while let Some(&at) = path.last() {
            if self.groups[at].walked_from.is_some() {
                return;
            }
            self.groups[at].walked_from = Some(first);
            let Some(edge) = self.pick(at) else { return };
            let from = self.outermost(self.edges[edge].from);
            match self.groups[from].walked_from == Some(first) {
                true => self.contract(&mut path, from),
                false => path.push(from),
            }
        }
    }

    /// The cheapest edge into a group from outside. The others cost from now on what they add to it.
    fn pick(&mut self, at: usize) -> Option<usize> {
        loop {
            let edge = self.groups[at].incoming?;
            let cost = self.heaps.0[edge].cost;
            self.groups[at].incoming = self.heaps.without_top(edge);
            if self.outermost(self.edges[edge].from) != at {
                self.heaps.lower(self.groups[at].incoming, cost);
                self.groups[at].picked = Some(edge);
                return Some(edge);
            }
        }
    }

    /// Makes one group of the end of a path, from `first` on.
    fn contract(&mut self, path: &mut Vec<usize>, first: usize) {
        let (new, mut incoming) = (self.groups.len(), None);
        while let Some(member) = path.pop() {
            let group = &mut self.groups[member];
            (group.within, group.up) = (Some(new), Some(new));
            incoming = self.heaps.merge(incoming, group.incoming.take());
            if member == first {
                break;
            }
        }
        self.groups.push(Group {
            incoming,
            ..Group::default()
        });
        path.push(new);
    }

    /// The edge into each node. The one into a group is also the one into all that is around the node
    /// that it leads to, up to that group: there the cycles are opened.
    fn entered(&self) -> Vec<Option<usize>> {
        let mut entered: Vec<Option<usize>> = vec![None; self.groups.len()];
        for (at, group) in self.groups.iter().enumerate().rev() {
            let Some(edge) = group.picked.filter(|_| entered[at].is_none()) else {
                continue;
            };
            let mut inner = self.edges[edge].to;
            entered[inner] = Some(edge);
            while let Some(within) = self.groups[inner].within.filter(|_| inner != at) {
                inner = within;
                entered[inner] = Some(edge);
            }
        }
        entered
    }
}

/// Leftist heaps (Crane 1972) of the edges into each group: two are merged in log n.
struct Heaps(Vec<Heap>);

/// An edge, and the cheaper ones below it none. Of those that cost the same the earlier is the cheaper.
#[derive(Clone)]
struct Heap {
    cost: u64,
    /// What all below it cost less than they say.
    lowered: u64,
    /// How far it is to where something is missing.
    rank: usize,
    left: Option<usize>,
    right: Option<usize>,
}

impl Heaps {
    /// Each edge for itself.
    fn new(edges: &[Edge]) -> Heaps {
        let single = |edge: &Edge| Heap {
            cost: edge.cost,
            lowered: 0,
            rank: 1,
            left: None,
            right: None,
        };
        Heaps(edges.iter().map(single).collect())
    }

    fn merge(&mut self, one: Option<usize>, other: Option<usize>) -> Option<usize> {
        let (Some(one), Some(other)) = (one, other) else {
            return one.or(other);
        };
        let key = |at: usize| (self.0[at].cost, at);
        let (top, other) = match key(one) < key(other) {
            true => (one, other),
            false => (other, one),
        };
        self.pass_on(top);
        let (left, right) = (self.0[top].left, self.merge(self.0[top].right, Some(other)));
        let rank = |at: Option<usize>| at.map_or(0, |at| self.0[at].rank);
        let (left, right) = match rank(left) < rank(right) {
            true => (right, left),
            false => (left, right),
        };
        self.0[top] = Heap {
            rank: rank(right) + 1,
            left,
            right,
            ..self.0[top]
        };
        Some(top)
    }

    fn without_top(&mut self, top: usize) -> Option<usize> {
        self.pass_on(top);
        self.merge(self.0[top].left, self.0[top].right)
    }

    /// All of a heap costs less.
    fn lower(&mut self, top: Option<usize>, by: u64) {
        if let Some(top) = top {
            self.0[top].cost -= by;
            self.0[top].lowered += by;
        }
    }

    fn pass_on(&mut self, at: usize) {
        let Heap {
            left,
            right,
            lowered,
            ..
        } = self.0[at];
        self.lower(left, lowered);
        self.lower(right, lowered);
        self.0[at].lowered = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same as it is mostly written down: all cycles at once, and then the smaller graph.
    fn level_by_level(nodes: usize, edges: &[Edge]) -> Vec<usize> {
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
        for i in level_by_level(groups, &smaller) {
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

    fn tags(nodes: usize, edges: &[Edge]) -> Vec<usize> {
        minimum(nodes, edges).iter().map(|edge| edge.tag).collect()
    }

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
            let chosen = tags(nodes, &edges);
            assert_eq!(chosen.len(), nodes - 1, "round {round}");
            let cost: u64 = chosen.iter().map(|&tag| edges[tag].cost).sum();
            assert_eq!(
                Some(cost),
                brute_force(nodes, &edges),
                "round {round}: {edges:?}"
            );
            assert_eq!(chosen, level_by_level(nodes, &edges), "round {round}");
        }
    }

    /// Nested cycles, and many edges that cost the same: whichever way leads to it, the choice is one.
    #[test]
    fn the_same_choice_level_by_level() {
        let mut seed = 5;
        for round in 0..2000 {
            let nodes = 2 + random(&mut seed, 40) as usize;
            let most = 1 + random(&mut seed, 12);
            let mut edge = |from, to, tag| Edge {
                from,
                to,
                cost: random(&mut seed, most),
                tag,
            };
            let near = (1..nodes).flat_map(|to| [(0, to), (to - 1, to), ((to + 1) % nodes, to)]);
            let edges: Vec<Edge> = near
                .enumerate()
                .map(|(tag, (from, to))| edge(from, to, tag))
                .collect();
            assert_eq!(
                tags(nodes, &edges),
                level_by_level(nodes, &edges),
                "round {round}: {edges:?}"
            );
        }
    }

    #[test]
    fn cycles_in_cycles_in_cycles() {
        // Each node is nearer to the one before it than to the next: the worst that there is level by level.
        const NODES: usize = 50_000;
        let ways =
            (1..NODES).flat_map(|to| [(0, to, 1 << 40), (to - 1, to, to), (to + 1, to, to + 2)]);
        let inside = ways.filter(|&(from, ..)| from < NODES).enumerate();
        let edges: Vec<Edge> = inside
            .map(|(tag, (from, to, cost))| Edge {
                from,
                to,
                cost: cost as u64,
                tag,
            })
            .collect();
        let chosen = tags(NODES, &edges);
        let from: Vec<usize> = chosen.iter().map(|&tag| edges[tag].from).collect();
        assert_eq!(from, (0..NODES - 1).collect::<Vec<_>>());
    }
}
