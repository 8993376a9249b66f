/**
 * Shapes with dimensions that are known only when the model runs. A product of such is written with its factors, as in
 * '4*batch*segments', so that what a reshape leaves over can be told from its parts.
 */
import type { Dimension } from './onnx-writer.ts'
import type { Shape } from './ops.ts'

interface Factors {
  readonly number: number
  readonly names: readonly string[]
}

/**
 * Shape after a reshape as ONNX does it.
 * @param to 0 keeps the dimension at its place, −1 takes what is left.
 * @throws RangeError where that is no whole dimension, or the sizes differ.
 */
export function reshapedShape(shape: Shape, to: readonly number[]): Shape {
  const kept = to.map((size, axis) => {
    if (size !== 0) return size
    if (shape[axis] === undefined) throw new RangeError(`[${shape}] has no axis ${axis} for a reshape to keep.`)
    return shape[axis]
  })
  const rest = kept.filter((size) => size !== -1)
  const left = quotient(shape, rest)
  if (left === undefined || kept.length - rest.length > 1 || (kept.length === rest.length && left !== 1)) {
    throw new RangeError(`[${shape}] cannot be reshaped to [${to}].`)
  }
  return kept.map((size) => (size === -1 ? left : size))
}

/** Shape of a · b, of stacks with the same leading axes or of a stack and a matrix. @throws RangeError */
export function productShape(a: Shape, b: Shape): Shape {
  const lead = b.slice(0, -2)
  const fits =
    a.length >= 2 &&
    b.length >= 2 &&
    a.at(-1) === b.at(-2) &&
    (lead.length === 0 || (a.length === b.length && lead.every((size, axis) => size === a[axis])))
  if (!fits) throw new RangeError(`[${a}] and [${b}] cannot be multiplied as matrices.`)
  return [...a.slice(0, -1), b.at(-1)!]
}

/** Shape of the parts one after the other along `axis`. @throws RangeError where another axis differs. */
export function joinedShape(parts: readonly Shape[], axis: number): Shape {
  const [first] = parts
  const along = parts.map((shape) => shape[axis])
  if (
    first?.[axis] === undefined ||
    parts.some((shape) => String(shape.with(axis, 0)) !== String(first.with(axis, 0)))
  ) {
    throw new RangeError(`[${parts.join('], [')}] cannot be joined along axis ${axis}.`)
  }
  const size = along.every((part) => typeof part === 'number')
    ? along.reduce((sum, part) => sum + part, 0)
    : along.join('+').replaceAll('*', '·') // one name: no product of others
  return first.with(axis, size)
}

/** Axes of `a` that `b` is repeated along. @throws RangeError unless `b` fits into `a` as NumPy broadcasts. */
export function broadcastAxes(a: Shape, b: Shape): readonly number[] {
  const lead = a.length - b.length
  if (lead < 0 || b.some((size, axis) => size !== 1 && size !== a[lead + axis])) {
    throw new RangeError(`[${b}] does not broadcast to [${a}]; the larger value comes first.`)
  }
  return a.flatMap((size, axis) => (axis < lead || (b[axis - lead] === 1 && size !== 1) ? [axis] : []))
}

/** The shape in numbers. @param sizes of the named dimensions. @returns undefined for what no size is given for. */
export function boundShape(shape: Shape, sizes: ReadonlyMap<string, number>): (number | undefined)[] {
  return shape.map((dimension) => {
    const { number, names } = factorsOf([dimension])
    return names.reduce<number | undefined>((size, name) => {
      const factor = sizes.get(name)
      return size === undefined || factor === undefined ? undefined : size * factor
    }, number)
  })
}

/** whole / part, both products; undefined where that is no product. */
function quotient(whole: Shape, part: Shape): Dimension | undefined {
  const { number, names } = factorsOf(whole)
  const left = [...names]
  const divisor = factorsOf(part)
  for (const name of divisor.names) {
    const at = left.indexOf(name)
    if (at < 0) return undefined
    left.splice(at, 1)
  }
  const size = number / divisor.number
  if (!Number.isInteger(size)) return undefined
  if (left.length === 0) return size
  return size === 1 ? left.join('*') : [size, ...left].join('*')
}

function factorsOf(shape: Shape): Factors {
  const parts: readonly Dimension[] = shape.flatMap<Dimension>((dimension) =>
    typeof dimension === 'number' ? [dimension] : dimension.split('*'),
  )
  return {
    number: parts.filter(isNumber).reduce<number>((product, part) => product * Number(part), 1),
    names: parts.filter((part) => typeof part === 'string').filter((part) => !isNumber(part)),
  }
}

const isNumber = (part: Dimension) => typeof part === 'number' || /^\d+$/.test(part)
