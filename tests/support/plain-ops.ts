/**
 * The operations of model/ops.ts as their definitions say, in float64 and with no regard to speed: what a backend's values
 * are checked against, and, by central differences, its gradients.
 */
import type { Ops } from '../../model/ops.ts'

export interface Plain {
  readonly shape: readonly number[]
  readonly values: Float64Array
}

export const sizeOf = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1)

export class PlainOps implements Ops<Plain> {
  readonly #parameters: ReadonlyMap<string, Plain>
  readonly #masks: ReadonlyMap<string, Plain>

  /** @param masks by site; without one dropout does nothing. */
  constructor(parameters: ReadonlyMap<string, Plain>, masks: ReadonlyMap<string, Plain> = new Map()) {
    this.#parameters = parameters
    this.#masks = masks
  }

  shapeOf(x: Plain): readonly number[] {
    return x.shape
  }

  parameter(name: string): Plain {
    return this.#parameters.get(name)!
  }

  matMul(a: Plain, b: Plain): Plain {
    const [n, k, m] = [a.shape.at(-2)!, a.shape.at(-1)!, b.shape.at(-1)!]
    const shape = [...a.shape.slice(0, -1), m]
    const stacked = b.shape.length > 2
    return fill(shape, (place) => {
      const row = Math.floor(place / m)
      const matrix = stacked ? Math.floor(row / n) : 0
      let sum = 0
      for (let i = 0; i < k; i++) sum += a.values[row * k + i]! * b.values[(matrix * k + i) * m + (place % m)]!
      return sum
    })
  }

  add(a: Plain, b: Plain): Plain {
    return broadcast(a, b, (x, y) => x + y)
  }

  multiply(a: Plain, b: Plain): Plain {
    return broadcast(a, b, (x, y) => x * y)
  }

  divide(a: Plain, b: Plain): Plain {
    return broadcast(a, b, (x, y) => x / y)
  }

  affine(a: Plain, factor: number, offset = 0): Plain {
    return each(a, (x) => factor * x + offset)
  }

  exp(a: Plain): Plain {
    return each(a, Math.exp)
  }

  gelu(a: Plain): Plain {
    return each(a, (x) => (x * (1 + erf(x / Math.SQRT2))) / 2)
  }

  softmax(a: Plain): Plain {
    return rows(a, (row) => {
      const greatest = Math.max(...row)
      const sum = row.reduce((total, x) => total + Math.exp(x - greatest), 0)
      return row.map((x) => Math.exp(x - greatest) / sum)
    })
  }

  logSoftmax(a: Plain): Plain {
    return rows(a, (row) => {
      const greatest = Math.max(...row)
      const log = greatest + Math.log(row.reduce((total, x) => total + Math.exp(x - greatest), 0))
      return row.map((x) => x - log)
    })
  }

  layerNorm(a: Plain, gain: Plain, offset: Plain): Plain {
    return rows(a, (row) => {
      const mean = row.reduce((sum, x) => sum + x, 0) / row.length
      const variance = row.reduce((sum, x) => sum + (x - mean) ** 2, 0) / row.length
      return row.map((x, i) => ((x - mean) / Math.sqrt(variance + 1e-5)) * gain.values[i]! + offset.values[i]!)
    })
  }

  normalise(a: Plain): Plain {
    return rows(a, (row) => {
      const length = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0) + 1e-12)
      return row.map((x) => x / length)
    })
  }

  transpose(a: Plain, order: readonly number[]): Plain {
    const steps = stepsOf(a.shape)
    const shape = order.map((axis) => a.shape[axis]!)
    const to = stepsOf(shape)
    return fill(shape, (place) => {
      let from = 0
      for (let i = 0; i < order.length; i++) from += (Math.floor(place / to[i]!) % shape[i]!) * steps[order[i]!]!
      return a.values[from]!
    })
  }

  reshape(a: Plain, shape: readonly number[]): Plain {
    const kept = shape.map((size, axis) => (size === 0 ? a.shape[axis]! : size))
    const left = a.values.length / sizeOf(kept.filter((size) => size > 0))
    return { shape: kept.map((size) => (size === -1 ? left : size)), values: a.values }
  }

  concat(parts: readonly Plain[], axis: number): Plain {
    const lead = sizeOf(parts[0]!.shape.slice(0, axis))
    const shape = parts[0]!.shape.with(
      axis,
      parts.reduce((sum, part) => sum + part.shape[axis]!, 0),
    )
    const values: number[] = []
    for (let i = 0; i < lead; i++) {
      for (const part of parts) {
        const run = part.values.length / lead
        values.push(...part.values.subarray(i * run, (i + 1) * run))
      }
    }
    return { shape, values: Float64Array.from(values) }
  }

  firstRows(table: Plain, like: Plain): Plain {
    const shape = [like.shape.at(-2)!, table.shape[1]!]
    return { shape, values: table.values.slice(0, sizeOf(shape)) }
  }

  sum(a: Plain, axis: number): Plain {
    const step = stepsOf(a.shape)[axis]!
    const count = a.shape[axis]!
    return fill(a.shape.with(axis, 1), (place) => {
      const start = Math.floor(place / step) * step * count + (place % step)
      let sum = 0
      for (let i = 0; i < count; i++) sum += a.values[start + i * step]!
      return sum
    })
  }

  dropout(a: Plain, _rate: number, site: string): Plain {
    const mask = this.#masks.get(site)
    return mask === undefined ? a : this.multiply(a, mask)
  }
}

function fill(shape: readonly number[], value: (place: number) => number): Plain {
  const values = new Float64Array(sizeOf(shape))
  for (let place = 0; place < values.length; place++) values[place] = value(place)
  return { shape, values }
}

function each(a: Plain, f: (x: number) => number): Plain {
  return { shape: a.shape, values: a.values.map(f) }
}

function rows(a: Plain, f: (row: number[]) => number[]): Plain {
  const width = a.shape.at(-1)!
  const values = new Float64Array(a.values.length)
  const row = new Array<number>(width)
  for (let at = 0; at < values.length; at += width) {
    for (let i = 0; i < width; i++) row[i] = a.values[at + i]!
    values.set(f(row), at)
  }
  return { shape: a.shape, values }
}

function broadcast(a: Plain, b: Plain, f: (x: number, y: number) => number): Plain {
  const lead = a.shape.length - b.shape.length
  const [steps, stepsOfB] = [stepsOf(a.shape), stepsOf(b.shape)]
  return fill(a.shape, (place) => {
    let from = 0
    for (let axis = 0; axis < b.shape.length; axis++) {
      from += (Math.floor(place / steps[lead + axis]!) % b.shape[axis]!) * stepsOfB[axis]!
    }
    return f(a.values[place]!, b.values[from]!)
  })
}

/** How far apart neighbours along each axis lie. */
function stepsOf(shape: readonly number[]): number[] {
  const steps = new Array<number>(shape.length)
  let step = 1
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    steps[axis] = step
    step *= shape[axis]!
  }
  return steps
}

/** By its power series, to about 1e-9 where it is not ±1. */
function erf(x: number): number {
  if (Math.abs(x) > 4.5) return Math.sign(x)
  let term = x
  let sum = x
  for (let n = 1; n < 100; n++) {
    term *= -(x * x) / n
    sum += term / (2 * n + 1)
  }
  return (2 / Math.sqrt(Math.PI)) * sum
}
