/**
 * Masks of dropout, the same for every backend: which values fall out depends on the seed, the step, the site and the
 * place alone. (The graph takes them as inputs, and an eager backend makes tensors of them.)
 */
import type { DropoutSite } from '../model/graph-ops.ts'
import { boundShape } from '../model/graph-shapes.ts'
import { seededBits } from '../model/random.ts'
import { ShapeError } from '../ports/errors.ts'
import type { Values } from './step-backend.ts'

/** Where in a training run. */
export interface MaskDraw {
  readonly seed: number
  readonly step: number
}

/**
 * @param sites of a graph, by name.
 * @param sizes of dimensions that have names in it.
 * @returns a mask for each.
 */
export function dropoutMasks(
  sites: ReadonlyMap<string, DropoutSite>,
  draw: MaskDraw,
  sizes: ReadonlyMap<string, number> = new Map(),
): Map<string, Values> {
  return new Map(
    [...sites].map(([site, { rate, shape: named }]) => {
      const shape = boundShape(named, sizes).map((size) => {
        if (size === undefined) throw new ShapeError(`The mask of "${site}" is [${named}]: say how large that is.`)
        return size
      })
      const count = shape.reduce((product, size) => product * size, 1)
      return [site, { shape, values: dropoutMask(draw, site, rate, count) }]
    }),
  )
}

/** A chance in 2¹⁶ths: half of a random number is enough to tell whether a value falls out, and twice as fast. */
const CHANCES = 2 ** 16

/** @returns `count` values: 0 with a probability of `rate` (to 2⁻¹⁷), else 1/(1 − rate). */
export function dropoutMask({ seed, step }: MaskDraw, site: string, rate: number, count: number): Float32Array {
  const random = seededBits(`${seed}/${step}/${site}`)
  const values = Float32Array.of(0, 1 / (1 - rate)) // looked up: a branch at random is slow
  const least = Math.round(rate * CHANCES)
  const mask = new Float32Array(count)
  for (let i = 0; i < count; i += 2) {
    const bits = random()
    mask[i] = values[Number((bits & (CHANCES - 1)) >= least)]!
    mask[i + 1] = values[Number(bits >>> 16 >= least)]! // past the end of an odd count nothing is written
  }
  return mask
}
