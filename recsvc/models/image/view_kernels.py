"""A whole view of one picture while it is in the processor's cache: crop to solarise, then mean and deviation.

The operations are those of `view_geometry`, `view_colour` and `view_filters`, which work on the whole batch, one after
the other, on any device; these kernels do the same on a CPU some twenty times faster, since a batch does not travel
through memory for each operation, and no operation is done for pictures that it was not drawn for.

A picture in work is planar and transposed, [3, column, row], so that both passes of the resizing and the blur run along
contiguous pixels.
"""

# Numba reads the kernels' own types. Without the float32 of each constant, it would calculate in float64.
import math

import numpy as np

from recsvc.models.compiled import compiled

_0, _1, _2, _3, _4, _6, _HALF, _SIXTH = (np.float32(value) for value in (0, 1, 2, 3, 4, 6, 0.5, 1 / 6))
_5 = np.float32(5)
_RED, _GREEN, _BLUE = np.float32(0.2989), np.float32(0.587), np.float32(0.114)
# Rows that are transposed together: as many float32 as a cache line holds.
_BLOCK = 16
_TINY = np.finfo(np.float32).tiny


@compiled(fastmath=True)
def make_views(  # type: ignore[no-untyped-def]
    pictures, unit, boxes, flip, jitter, factors, order, grey, sigma, solarise, kernel_size, mean, std, views
):
    """Make one view of each picture.

    Args:
        pictures: [B, side, (side, 3)], uint8 or float32.
        unit: float, by which stored values are multiplied to lie in [0, 1].
        boxes: int64 [B, 4] top, left, height, width.
        flip: bool [B].
        jitter: bool [B].
        factors: float32 [B, 4] of brightness, contrast, saturation; turn of the hue.
        order: int64 [B, 4] of these four.
        grey: bool [B].
        sigma: float32 [B] of the blur in pixels, 0 = none.
        solarise: bool [B].
        kernel_size: taps of the blur, odd.
        mean: float32 [3], subtracted at the end.
        std: float32 [3], divided by at the end.
        views: float32 [B, S, S, 3], overwritten.
    """
    B, side, S = len(pictures), pictures.shape[1], views.shape[1]
    plane = np.empty((3, S * S), np.float32)
    source = np.empty((side, side * 3), np.float32)
    lines = np.empty((_BLOCK, side * 3), np.float32)
    columns = np.empty((side, 3 * S), np.float32)
    total = np.empty(3 * S, np.float32)
    taps = 2 * (2 * max(1, -(-side // S)) + 1)
    first, count, weights = np.empty(S, np.int64), np.empty(S, np.int64), np.empty((S, taps), np.float32)
    half = kernel_size // 2
    kernel = np.empty(kernel_size, np.float32)
    blurred, padded = np.empty((S, S), np.float32), np.empty(S + 2 * half, np.float32)
    for b in range(B):
        top, left, height, width = boxes[b, 0], boxes[b, 1], boxes[b, 2], boxes[b, 3]
        for y in range(height):
            stored, line = pictures[b, top + y, 3 * left :], source[y]
            for x in range(3 * width):
                line[x] = stored[x]
        _plan(height, S, unit, first, count, weights)
        _resize_rows(source, width, first, count, weights, lines, columns)
        _plan(width, S, 1.0, first, count, weights)
        _resize_columns(columns, first, count, weights, flip[b], total, plane)
        if jitter[b]:
            _jitter(plane, factors[b], order[b])
        if grey[b]:
            _grey(plane)
        if sigma[b] > 0:
            _gaussian(sigma[b], kernel)
            for c in range(3):
                _blur(plane[c].reshape(S, S), kernel, blurred, padded)
        if solarise[b]:
            _solarise(plane.reshape(3 * S * S))
        _write(plane, mean, std, views[b])


@compiled(fastmath=True)
def _plan(length, outputs, unit, first, count, weights):  # type: ignore[no-untyped-def]
    """Which of ``length`` pixels make each of ``outputs`` pixels, and with what weights (Keys' cubic, widened)."""
    scale = length / outputs
    wide = max(scale, 1.0)
    for j in range(outputs):
        centre = (j + 0.5) * scale
        low = max(0, math.floor(centre - 2 * wide + 0.5))
        high = min(length, math.ceil(centre + 2 * wide + 0.5))
        whole = 0.0
        kept = 0
        start = low
        for pixel in range(low, high):
            t = abs((pixel + 0.5 - centre) / wide)
            if t < 2:
                value = (1.5 * t - 2.5) * t * t + 1 if t < 1 else ((-0.5 * t + 2.5) * t - 4) * t + 2
                weights[j, kept] = value
                whole += value
                kept += 1
            elif kept == 0:
                start = pixel + 1
        for k in range(kept):
            weights[j, k] *= unit / whole
        first[j], count[j] = start, kept


@compiled(fastmath=True)
def _resize_rows(source, width, first, count, weights, lines, columns):  # type: ignore[no-untyped-def]
    """Resize along the columns of ``source`` [height, (width, 3)] and transpose: -> ``columns`` [width, (3, S)]."""
    S = len(first)
    for start in range(0, S, _BLOCK):
        rows = min(_BLOCK, S - start)
        for i in range(rows):
            r, line = start + i, lines[i]
            weight, row = weights[r, 0], source[first[r]]
            for x in range(3 * width):
                line[x] = weight * row[x]
            for k in range(1, count[r]):
                weight, row = weights[r, k], source[first[r] + k]
                for x in range(3 * width):
                    line[x] += weight * row[x]
        for x in range(width):
            for c in range(3):
                column = columns[x, c * S + start :]
                for i in range(rows):
                    column[i] = lines[i, 3 * x + c]


@compiled(fastmath=True)
def _resize_columns(columns, first, count, weights, flip, total, plane):  # type: ignore[no-untyped-def]
    """Resize along the rows: ``columns`` [width, (3, S)] -> ``plane`` [3, (S, S)], clipped to [0, 1]."""
    S = len(first)
    for j in range(S):
        weight, column = weights[j, 0], columns[first[j]]
        for x in range(3 * S):
            total[x] = weight * column[x]
        for k in range(1, count[j]):
            weight, column = weights[j, k], columns[first[j] + k]
            for x in range(3 * S):
                total[x] += weight * column[x]
        place = (S - 1 - j if flip else j) * S
        for c in range(3):
            for r in range(S):
                plane[c, place + r] = min(max(total[c * S + r], _0), _1)


@compiled(fastmath=True)
def _jitter(plane, factors, order):  # type: ignore[no-untyped-def]
    for place in range(4):
        number = order[place]
        factor = factors[number]
        red, green, blue = plane[0], plane[1], plane[2]
        n = len(red)
        if number == 0:
            for c in range(3):
                for i in range(n):
                    plane[c, i] = min(max(plane[c, i] * factor, _0), _1)
        elif number == 1:
            whole = _0
            for i in range(n):
                whole += _RED * red[i] + _GREEN * green[i] + _BLUE * blue[i]
            rest = (_1 - factor) * (whole / np.float32(n))
            for c in range(3):
                for i in range(n):
                    plane[c, i] = min(max(plane[c, i] * factor + rest, _0), _1)
        elif number == 2:
            for i in range(n):
                rest = (_1 - factor) * (_RED * red[i] + _GREEN * green[i] + _BLUE * blue[i])
                red[i] = min(max(red[i] * factor + rest, _0), _1)
                green[i] = min(max(green[i] * factor + rest, _0), _1)
                blue[i] = min(max(blue[i] * factor + rest, _0), _1)
        else:
            _turn_hue(red, green, blue, _6 * factor)


@compiled(fastmath=True)
def _turn_hue(red, green, blue, shift):  # type: ignore[no-untyped-def]
    """Turn the hue of HSV by ``shift`` sixths of a turn."""
    for i in range(len(red)):
        r, g, b = red[i], green[i], blue[i]
        value = max(r, g, b)
        chroma = value - min(r, g, b)
        is_red, is_green = value == r, value == g
        difference = g - b if is_red else (b - r if is_green else r - g)
        base = _0 if is_red else (_2 if is_green else _4)
        hue = difference / max(chroma, _TINY) + base + shift
        k = hue + _5
        k = abs(k - _6 * np.floor(k * _SIXTH) - _2)
        red[i] = value - chroma * min(max(_2 - k, _0), _1)
        k = hue + _3
        k = abs(k - _6 * np.floor(k * _SIXTH) - _2)
        green[i] = value - chroma * min(max(_2 - k, _0), _1)
        k = hue + _1
        k = abs(k - _6 * np.floor(k * _SIXTH) - _2)
        blue[i] = value - chroma * min(max(_2 - k, _0), _1)


@compiled(fastmath=True)
def _grey(plane):  # type: ignore[no-untyped-def]
    red, green, blue = plane[0], plane[1], plane[2]
    for i in range(len(red)):
        value = _RED * red[i] + _GREEN * green[i] + _BLUE * blue[i]
        red[i] = value
        green[i] = value
        blue[i] = value


@compiled()
def _gaussian(sigma, kernel):  # type: ignore[no-untyped-def]
    half = len(kernel) // 2
    whole = 0.0
    for k in range(len(kernel)):
        kernel[k] = math.exp(-0.5 * ((k - half) / sigma) ** 2)
        whole += kernel[k]
    for k in range(len(kernel)):
        kernel[k] /= whole


@compiled(fastmath=True)
def _blur(picture, kernel, blurred, padded):  # type: ignore[no-untyped-def]
    """Blur one channel [S, S] along both axes, reflected at the borders."""
    S, half = len(picture), len(kernel) // 2
    for j in range(S):
        weight, column, near = kernel[half], blurred[j], picture[j]
        for r in range(S):
            column[r] = weight * near[r]
        for k in range(1, half + 1):
            weight = kernel[half + k]
            before, after = picture[abs(j - k)], picture[S - 1 - abs(S - 1 - j - k)]
            for r in range(S):
                column[r] += weight * (before[r] + after[r])
    for j in range(S):
        column, result = blurred[j], picture[j]
        for r in range(S):
            padded[half + r] = column[r]
        for k in range(1, half + 1):
            padded[half - k] = column[k]
            padded[half + S - 1 + k] = column[S - 1 - k]
        weight = kernel[half]
        for r in range(S):
            result[r] = weight * column[r]
        for k in range(1, half + 1):
            # Slices, for in one index numba would look out for negative numbers pixel by pixel.
            weight, before, after = kernel[half + k], padded[half - k : half - k + S], padded[half + k :]
            for r in range(S):
                result[r] += weight * (before[r] + after[r])


@compiled(fastmath=True)
def _solarise(values):  # type: ignore[no-untyped-def]
    for i in range(len(values)):
        values[i] = values[i] if values[i] < _HALF else _1 - values[i]


@compiled(fastmath=True)
def _write(plane, mean, std, view):  # type: ignore[no-untyped-def]
    """Normalise ``plane`` [3, (column, row)] into ``view`` [row, column, 3]."""
    S = len(view)
    for c in range(3):
        scale = _1 / std[c]
        shift = -mean[c] * scale
        for i in range(S * S):
            plane[c, i] = plane[c, i] * scale + shift
    for start in range(0, S, _BLOCK):
        rows = min(_BLOCK, S - start)
        for j in range(S):
            red, green, blue = plane[0, j * S + start :], plane[1, j * S + start :], plane[2, j * S + start :]
            for i in range(rows):
                view[start + i, j, 0] = red[i]
                view[start + i, j, 1] = green[i]
                view[start + i, j, 2] = blue[i]
