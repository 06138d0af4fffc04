#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Draws what samara-bench has measured: one SVG for each workload and distribution, against the
number of mappings; one for each histogram of waits; one of many readers beside a writer; and one
for each number of mappings that compares distributions, and one that compares traces.

Usage: bench/plot.py FILE.json FOLDER
"""
import html
import json
import math
import pathlib
import sys

# A colour and a mark for each peer, the same in all pictures. Related peers have the same hue.
STYLES = {
    'samara': ('#0b5fb0', 'circle'),
    'samara-rcu': ('#4aa3ea', 'square'),
    'samara-gap': ('#0b5fb0', 'triangle'),
    'samara-memb': ('#2b83cf', 'diamond'),
    'samara-mb': ('#7fbdf0', 'circle'),
    'samara-qsbr': ('#123f70', 'square'),
    'linux': ('#b5450b', 'circle'),
    'linux-rcu': ('#f0883a', 'square'),
    'std::map': ('#2c7a3f', 'diamond'),
    'std::map+lock': ('#2c7a3f', 'diamond'),
    'absl::btree': ('#8a3fa0', 'triangle'),
    'absl::btree+lock': ('#8a3fa0', 'triangle'),
    'boost::icl': ('#6bb04a', 'circle'),
    'rb tree': ('#9a7b14', 'square'),
    'sorted array': ('#707070', 'diamond'),
}
OTHER = ('#c02080', 'triangle')
TEXT = '#222222'
GRID = '#e4e4e4'
FONT = 'font-family="DejaVu Sans, Helvetica, Arial, sans-serif"'
UNITS = {'ns': 'ns per operation', 'B': 'bytes per mapping', '%': '% of its speed alone',
         'M/s': 'million a second'}


def style(peer):
    return STYLES.get(peer, OTHER)


class Svg:
    """A picture that is written piece by piece."""

    def __init__(self, width, height, title, subtitle=''):
        self.size = (width, height)
        self.parts = []
        self.text(16, 26, title, size=16, bold=True)
        if subtitle:
            self.text(16, 45, subtitle, size=11.5, colour='#555555')

    def line(self, x1, y1, x2, y2, colour=GRID, width=1, dash=''):
        dash = f' stroke-dasharray="{dash}"' if dash else ''
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                          f'stroke="{colour}" stroke-width="{width}"{dash}/>')

    def path(self, points, colour, width=2):
        d = ' '.join(f'{x:.1f},{y:.1f}' for x, y in points)
        self.parts.append(f'<polyline points="{d}" fill="none" stroke="{colour}" '
                          f'stroke-width="{width}" stroke-linejoin="round"/>')

    def mark(self, x, y, peer, r=4):
        colour, shape = style(peer)
        corners = {'square': [(-1, -1), (1, -1), (1, 1), (-1, 1)],
                   'diamond': [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
                   'triangle': [(0, -1.2), (1.2, 1), (-1.2, 1)]}
        if shape == 'circle':
            self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" fill="{colour}"/>')
        else:
            d = ' '.join(f'{x + r * dx:.1f},{y + r * dy:.1f}' for dx, dy in corners[shape])
            self.parts.append(f'<polygon points="{d}" fill="{colour}"/>')

    def text(self, x, y, text, size=12.0, anchor='start', colour=TEXT, bold=False, turn=0):
        bold = ' font-weight="bold"' if bold else ''
        turn = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ''
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" '
                          f'text-anchor="{anchor}"{bold}{turn}>{html.escape(text)}</text>')

    def write(self, path):
        width, height = self.size
        path.write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" {FONT}>\n'
            f'<rect width="{width}" height="{height}" fill="white"/>\n'
            + '\n'.join(self.parts) + '\n</svg>\n', encoding='utf-8')


class Axis:
    """Values from @low to @high, and where they lie between the pixels @begin and @end."""

    def __init__(self, values, begin, end, log):
        self.log, self.begin, self.end = log, begin, end
        low, high = min(values), max(values)
        if log:
            self.low, self.high = self.log_limits(low, high)
        else:
            self.step = self.round_step(high / 5)
            self.low, self.high = 0, self.step * math.ceil(high / self.step + 1e-9)

    @staticmethod
    def log_limits(low, high):
        """Whole steps of 1, 2, 5 around the values."""
        steps = [m * 10.0**e for e in range(-12, 13) for m in (1, 2, 5)]
        below = [s for s in steps if s <= low * 1.0001]
        above = [s for s in steps if s >= high * 0.9999]
        return below[-1], above[0] if above[0] > below[-1] else above[1]

    @staticmethod
    def round_step(step):
        size = 10.0**math.floor(math.log10(step))
        return next(m * size for m in (1, 2, 5, 10) if m * size >= step)

    def at(self, value):
        if self.log:
            value = min(max(value, self.low), self.high)
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self.begin + part * (self.end - self.begin)

    def ticks(self):
        if not self.log:
            return [i * self.step for i in range(round(self.high / self.step) + 1)]
        far = self.high / self.low > 2000
        all_steps = [m * 10.0**e for e in range(-12, 13) for m in ((1,) if far else (1, 2, 5))]
        return [s for s in all_steps if self.low * 0.999 <= s <= self.high * 1.001]


def count(n):
    for size, suffix in ((1000000, 'M'), (1024, 'k')):
        if n >= size and n % size == 0:
            return f'{n // size}{suffix}'
    return f'{n:,}'


def number(value):
    return f'{value:,.0f}' if value >= 10 or value == int(value) else f'{value:g}'


def duration(ns):
    for size, unit in ((1e9, 's'), (1e6, 'ms'), (1e3, 'µs')):
        if ns >= size:
            return f'{ns / size:g} {unit}'
    return f'{ns:g} ns'


def frame(svg, x, y, x_ticks, y_ticks, x_title, y_title):
    """The grid, and what is written at the axes. Ticks are pairs of value and text."""
    for value, text in y_ticks:
        svg.line(x.begin, y.at(value), x.end, y.at(value))
        svg.text(x.begin - 8, y.at(value) + 4, text, anchor='end')
    for value, text in x_ticks:
        svg.line(x.at(value), y.begin, x.at(value), y.begin + 5, '#888888')
        svg.text(x.at(value), y.begin + 20, text, anchor='middle')
    svg.line(x.begin, y.begin, x.end, y.begin, '#888888')
    svg.text((x.begin + x.end) / 2, y.begin + 40, x_title, anchor='middle')
    svg.text(18, (y.begin + y.end) / 2, y_title, anchor='middle', turn=-90)


def names_beside(svg, ends, left, top, bottom):
    """Writes each peer's name at the height its line ends at, or as near as there is room."""
    gap = 17
    places = []
    for y, peer in sorted(ends):
        places.append([max(y, places[-1][0] + gap) if places else max(y, top), y, peer])
    limit = bottom
    for place in reversed(places):
        place[0] = min(place[0], limit)
        limit = place[0] - gap
    for at, y, peer in places:
        svg.line(left + 4, y, left + 20, at, style(peer)[0], 0.8)
        svg.mark(left + 27, at, peer)
        svg.text(left + 36, at + 4, peer, colour=style(peer)[0])


def legend(svg, peers, x, y):
    for peer in peers:
        svg.mark(x, y, peer)
        svg.text(x + 10, y + 4, peer, colour=style(peer)[0])
        x += 30 + 7.4 * len(peer)


class Data:
    """The JSON, by what pictures ask for."""

    def __init__(self, path):
        self.all = json.loads(pathlib.Path(path).read_text(encoding='utf-8', errors='replace'))
        self.peers = self.all['peers']
        self.workloads = {w['name']: w for w in self.all['workloads']}
        self.results = {}
        for r in self.all['results']:
            self.results[r['dist'], r['n'], r['workload'], r['peer']] = r
        self.histograms = {}
        for h in self.all['histograms']:
            self.histograms.setdefault((h['dist'], h['n']), {})[h['workload'], h['peer']] = h

    def get(self, dist, n, workload, peer):
        return self.results.get((dist, n, workload, peer))

    def sets(self, traces):
        """Distributions, or traces, each with its numbers of mappings."""
        found = {}
        for dist, n, _, _ in self.results:
            if dist.startswith('trace:') == traces:
                found.setdefault(dist, set()).add(n)
        return {dist: sorted(sizes) for dist, sizes in found.items()}

    def subtitle(self, *more):
        a = self.all
        miss = a['miss_ns'][-1]
        return '; '.join((f"{a['cpu']}, Samara {a['samara']}", f"a miss costs {miss['before']:.0f} ns") + more)


def plot_sizes(data, dist, sizes, workload):
    """A line for each peer over the number of mappings; None when there is nothing to see."""
    info = data.workloads[workload]
    lines = {}
    for peer in data.peers:
        points = [(n, data.get(dist, n, workload, peer)) for n in sizes]
        points = [(n, r) for n, r in points if r and r['median'] > 0]
        if points:
            lines[peer] = points
    if not lines or len(sizes) < 2:
        return None
    svg = Svg(820, 500, f"{workload}: {info['what']}",
              data.subtitle('medians, with bars from the least to the largest sample'))
    medians = [r['median'] for points in lines.values() for _, r in points]
    x = Axis(sizes, 84, 640, True)
    x.low, x.high = sizes[0] / 1.15, sizes[-1] * 1.15
    y = Axis(medians, 440, 70, info['unit'] == 'ns')
    frame(svg, x, y, [(n, count(n)) for n in sizes], [(v, number(v)) for v in y.ticks()],
          f'mappings, distribution {dist} (logarithmic)', UNITS[info['unit']])
    for peer, points in lines.items():
        colour = style(peer)[0]
        for n, r in points:
            low, high = (min(max(y.at(r[k]), y.end), y.begin) for k in ('min', 'max'))
            svg.line(x.at(n), low, x.at(n), high, colour, 1)
        svg.path([(x.at(n), y.at(r['median'])) for n, r in points], colour,
                 3 if peer.startswith('samara') else 1.7)
        for n, r in points:
            svg.mark(x.at(n), y.at(r['median']), peer)
    ends = [(y.at(points[-1][1]['median']), peer) for peer, points in lines.items()]
    names_beside(svg, ends, 640, 70, 440)
    return svg


def plot_rows(data, title, rows, workload):
    """A row for each of several data sets (text, dist, n), a mark in it for each peer."""
    unit = data.workloads[workload]['unit']
    found = []
    for text, dist, n in rows:
        marks = {p: data.get(dist, n, workload, p) for p in data.peers}
        marks = {p: r['median'] for p, r in marks.items() if r and r['median'] > 0}
        if marks:
            found.append((text, marks))
    if not found:
        return None
    peers = [p for p in data.peers if any(p in marks for _, marks in found)]
    height = 150 + 40 * len(found)
    svg = Svg(960, height, title, data.subtitle('medians'))
    legend(svg, peers, 24, 70)
    x = Axis([v for _, marks in found for v in marks.values()], 250, 930, unit == 'ns')
    bottom = height - 55
    for value in x.ticks():
        svg.line(x.at(value), 90, x.at(value), bottom)
        svg.text(x.at(value), bottom + 18, number(value), anchor='middle')
    svg.text(590, bottom + 40, UNITS[unit] + (' (logarithmic)' if x.log else ''), anchor='middle')
    for i, (text, marks) in enumerate(found):
        y = 112 + 40 * i
        svg.line(x.begin, y, x.end, y, '#bbbbbb', 1, '2 3')
        svg.text(x.begin - 14, y + 4, text, anchor='end')
        for peer, value in sorted(marks.items(), key=lambda m: m[0].startswith('samara')):
            svg.mark(x.at(value), y, peer, 6)
    return svg


def coarse(buckets, per_octave=5):
    """[(low, high, share)] of equal width on a logarithmic axis."""
    total = sum(c for _, _, c in buckets)
    found = {}
    for low, high, c in buckets:
        at = math.floor(math.log2(max((low + high) / 2, 1)) * per_octave)
        found[at] = found.get(at, 0) + c
    return [(2**(at / per_octave), 2**((at + 1) / per_octave), c / total)
            for at, c in sorted(found.items())]


def tail(buckets):
    """[(ns, share of what took longer)]"""
    left = total = sum(c for _, _, c in buckets)
    points = []
    for low, high, c in buckets:
        points.append((low, left / total))
        left -= c
        if left:
            points.append((high, left / total))
    points.append((buckets[-1][1], 0.5 / total))
    return points


def plot_waits(data, dist, n, shapes):
    """Above, how often a look-up beside a writer took how long; below, how many took longer."""
    shown = {p: shapes['wait-beside', p]['buckets'] for p in data.peers
             if ('wait-beside', p) in shapes and shapes['wait-beside', p]['buckets']}
    if not shown:
        return None
    svg = Svg(860, 760, f'How long one look-up takes beside a writer that never rests: {count(n)} '
              f'mappings, {dist}',
              data.subtitle(f"reading the clock, {data.all['clock_ns']:.0f} ns, included"))
    # With a coarse clock some look-ups take 0 ns, which has no place on a logarithmic axis.
    x = Axis([max(b[0][0], 1) for b in shown.values()] + [b[-1][1] for b in shown.values()], 92, 830, True)
    x_ticks = [(v, duration(v)) for v in x.ticks()]
    legend(svg, shown, 100, 68)

    least = min(1 / sum(c for _, _, c in b) for b in shown.values())
    y = Axis([least, 1], 370, 90, True)
    shares = [(10.0**e, f'{100 * 10.0**e:g} %') for e in range(-9, 1) if 10.0**e >= y.low]
    frame(svg, x, y, x_ticks, shares, 'time of one look-up (logarithmic)', 'share of look-ups')
    for peer, buckets in shown.items():
        points = []
        for low, high, share in coarse(buckets):
            if not points or points[-1][0] < x.at(low) - 0.5:
                points.append((x.at(points and points[-1][2] or low), y.begin, low))
                points.append((x.at(low), y.begin, low))
            points += [(x.at(low), y.at(share), low), (x.at(high), y.at(share), high)]
        points.append((points[-1][0], y.begin, 0))
        svg.path([p[:2] for p in points], style(peer)[0], 2.2 if peer.startswith('samara') else 1.4)

    y = Axis([least, 1], 700, 440, True)
    frame(svg, x, y, x_ticks, shares, 'time (logarithmic)', 'share that takes longer')
    svg.line(x.begin, y.at(1e-4), x.end, y.at(1e-4), '#888888', 1, '5 4')
    svg.text(x.begin + 6, y.at(1e-4) - 5, 'p99.99', size=11, colour='#555555')
    for peer, buckets in shown.items():
        svg.path([(x.at(ns), y.at(share)) for ns, share in tail(buckets)], style(peer)[0],
                 2.6 if peer.startswith('samara') else 1.6)
    return svg


def plot_crowds(data, dist, n):
    """Above, the look-ups of more and more readers beside a writer; below, what the writer takes."""
    crowds = [int(w.split('-')[1]) for w, info in data.workloads.items() if info['unit'] == 'M/s']
    titles = {'reads': 'million look-ups a second', 'writes': 'ns per erase and store'}
    shown = {what: {p: [(c, r['median']) for c in crowds
                        if (r := data.get(dist, n, f'{what}-{c}', p)) and r['median'] > 0]
                    for p in data.peers} for what in titles}
    panels = [what for what in titles if any(shown[what].values())]
    if not panels:
        return None
    svg = Svg(860, 100 + 330 * len(panels), f'Many readers beside a writer that never rests: '
              f'{count(n)} mappings, {dist}', data.subtitle('medians'))
    legend(svg, [p for p in data.peers if any(shown[what][p] for what in panels)], 100, 68)
    x = Axis(crowds, 92, 830, True)
    x.low, x.high = crowds[0] / 1.1, crowds[-1] * 1.1
    for i, what in enumerate(panels):
        y = Axis([v for line in shown[what].values() for _, v in line], 370 + 330 * i, 90 + 350 * i, True)
        frame(svg, x, y, [(c, str(c)) for c in crowds], [(v, number(v)) for v in y.ticks()],
              'readers (logarithmic)', titles[what])
        for peer, line in shown[what].items():
            svg.path([(x.at(c), y.at(v)) for c, v in line], style(peer)[0],
                     3 if peer.startswith('samara') else 1.7)
            for c, v in line:
                svg.mark(x.at(c), y.at(v), peer)
    return svg


def pictures(data):
    """Yields (name, picture or None)."""
    dists, traces = data.sets(False), data.sets(True)
    for workload, info in data.workloads.items():
        if info['group'] in ('4', '5'):  # many readers: plot_crowds() draws them together
            continue
        for dist, sizes in dists.items():
            yield f'{workload}-{dist}', plot_sizes(data, dist, sizes, workload)
        for n in sorted({n for sizes in dists.values() for n in sizes}):
            rows = [(dist, dist, n) for dist in dists
                    if any(data.get(dist, n, workload, p) for p in data.peers)]
            if len(rows) > 1 and info['group'] == '1':
                yield (f'{workload}-{count(n)}',
                       plot_rows(data, f"{workload}, {count(n)} mappings: {info['what']}", rows, workload))
        if traces:
            rows = [(f"{dist.split(':', 1)[1]}, {n:,}", dist, n)
                    for dist, sizes in traces.items() for n in sizes]
            yield workload, plot_rows(data, f"{workload}: {info['what']}", rows, workload)
    for dist, sizes in dists.items():
        for n in sizes:
            yield f'readers-{dist}-{count(n)}', plot_crowds(data, dist, n)
    for (dist, n), shapes in data.histograms.items():
        yield f'waits-{dist}-{count(n)}', plot_waits(data, dist, n, shapes)


class Fault(Exception):
    """What is wrong with FILE.json."""


def draw(path):
    """[(name, picture)] of all that the file has figures for."""
    try:
        return [(name, picture) for name, picture in pictures(Data(path)) if picture]
    except json.JSONDecodeError as fault:
        raise Fault(f'not JSON, or cut short: {fault}') from fault
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as fault:
        raise Fault('not what samara-bench writes') from fault


def main():
    if sys.argv[1:] in (['--help'], ['-h']):
        print(__doc__.strip())
        return 0
    if len(sys.argv) != 3:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    folder = pathlib.Path(sys.argv[2])
    try:
        drawn = draw(sys.argv[1])
        folder.mkdir(parents=True, exist_ok=True)
        for name, picture in drawn:
            picture.write(folder / f'{name}.svg')
    except Fault as fault:
        print(f'plot.py: {sys.argv[1]}: {fault}', file=sys.stderr)
        return 1
    except OSError as fault:
        print(f'plot.py: {fault.filename or folder}: {fault.strerror}', file=sys.stderr)
        return 1
    print(f'{len(drawn)} pictures in {folder}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
