"""A walk engine in plain Python, written from the definitions: lists and dictionaries, one walk at a time."""

from recsvc.models.graph.hops import Direction, hop_ends

MASK = 2**64 - 1
ORDER, STARTS, WALK = 1, 2, 3


def mix(state):
    """splitmix64's output function (Steele, Lea and Flood, OOPSLA 2014)."""
    z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def step(state):
    return (state + 0x9E3779B97F4A7C15) & MASK


def key(state, *values):
    for value in values:
        state = mix(step(state) ^ mix(step(value)))
    return state


def below(bits, bound):
    return int((bits >> 11) / 2**53 * bound)


def permuted(index, count, state):
    """A Feistel network of eight rounds over the next power of 4, walked until it falls inside."""
    half = 1
    while 4**half < count:
        half += 1
    value = index
    while True:
        left, right = divmod(value, 2**half)
        for turn in range(8):
            left, right = right, left ^ (key(state ^ right, turn) % 2**half)
        value = left * 2**half + right
        if value < count:
            return value


def edges_of(graph, hop):
    """{global row: [(global row, weight), ...]} of a hop, in the order of the relation's edges."""
    relation = graph.relations[hop.relation]
    weights = [1.0] * len(relation) if relation.weights is None else relation.weights.tolist()
    pairs = list(zip(relation.sources.tolist(), relation.targets.tolist(), weights, strict=True))
    back = [(target, source, weight) for source, target, weight in pairs]
    if hop.direction is Direction.INVERSE:
        pairs = back
    elif hop.direction is Direction.BOTH:
        pairs = pairs + [edge for edge in back if edge[0] != edge[1]]
    first, second = (int(graph.offsets[graph.type_index(name)]) for name in hop_ends(hop, graph))
    table = {}
    for near, far, weight in pairs:
        table.setdefault(first + near, []).append((second + far, weight))
    return table


class SlowWalks:
    """The walks of a plan on a graph without weights, hop by hop.

    Args:
        graph: what is walked on.
        paths: meta-paths.
        walks: how many of each path.
        config: a WalkConfig.
        seed: the run's.
    """

    def __init__(self, graph, paths, walks, config, seed):
        self.graph, self.paths, self.walks, self.config, self.seed = graph, paths, walks, config, seed
        self.tables = [[edges_of(graph, hop) for hop in path.hops] for path in paths]

    def places_from(self, path, node_type):
        return [
            place
            for place, hop in enumerate(path.hops)
            if hop_ends(hop, self.graph)[0] == node_type and place not in path.kept_out
        ]

    def starts_of(self, path):
        """Start nodes in the order that walks number them, each with the places it may begin at."""
        names = path.types if path.free else [n for p, n in enumerate(path.types) if p not in path.kept_out]
        for name in dict.fromkeys(names):
            if not self.config.starts or name in self.config.starts:
                first = int(self.graph.offsets[self.graph.type_index(name)])
                for row in range(len(self.graph.nodes[name])):
                    yield first + row, self.places_from(path, name)

    def walk(self, number):
        """The segments of a walk, those of one token left out."""
        place = permuted(number, sum(self.walks), key(self.seed, ORDER))
        chosen = 0
        while place >= self.walks[chosen]:
            place -= self.walks[chosen]
            chosen += 1
        path, tables = self.paths[chosen], self.tables[chosen]
        starts = list(self.starts_of(path))
        turn, rest = divmod(place, len(starts))
        start, places = starts[permuted(rest, len(starts), key(self.seed, STARTS, chosen, turn))]
        state = key(self.seed, WALK, chosen, start, turn)
        left, segments = self.config.length, []
        while left:
            segment, node = [start], start
            here = self._leave(path, tables, places, node, state)
            left -= 1
            stuck = False
            while left and not stuck:
                onward = [] if here is None else tables[here].get(node, [])
                if not onward:
                    stuck = True
                    break
                state = step(state)
                node = onward[below(mix(state), len(onward))][0]
                reached = here + 1
                if path.free or reached not in path.kept_out:
                    segment.append(node)
                    left -= 1
                if path.free:
                    target = hop_ends(path.hops[here], self.graph)[1]
                    choices = self.places_from(path, target)
                    if len(choices) > 1:
                        state = step(state)
                    here = self._leave(path, tables, choices, node, state) if choices else None
                else:
                    here = reached % len(path.hops)
            if len(segment) > 1:
                segments.append(segment)
            if self.config.dead_ends != "restart":
                break
            state = step(state)
        return segments

    @staticmethod
    def _leave(path, tables, places, node, state):
        if path.free:
            places = [place for place in places if tables[place].get(node)] or places[:1]
        return places[below(mix(state), len(places))]


def explains(graph, path, segment):
    """Whether a meta-path (or none) can make a run of tokens: the nodes and places it may be at, token by token."""
    tables = [edges_of(graph, hop) for hop in path.hops]
    size = len(path.hops)
    may_be = {(segment[0], place) for place in range(size) if path.free or place not in path.kept_out}
    for token in segment[1:]:
        reached, todo = set(), set(may_be)
        while todo:
            node, place = todo.pop()
            for far, _ in tables[place].get(node, []):
                if not path.free and place + 1 in path.kept_out:
                    todo.add((far, (place + 1) % size))
                elif far == token:
                    reached |= {(far, p) for p in (range(size) if path.free else [(place + 1) % size])}
        may_be = reached
    return bool(may_be)
