/** Every operation of model/ops.ts, in the ways that it is used: what each backend is checked on. */
import type { Program, Shapes } from './ops-check.ts'

export interface OperationCase {
  readonly shapes: Shapes
  readonly program: Program
  /** Of the values. */
  readonly low?: number
  readonly high?: number
}

/** By name. */
export const operations: Record<string, OperationCase> = {
  'matMul of two matrices': {
    shapes: { a: [3, 4], b: [4, 2] },
    program: (ops) => ops.matMul(ops.parameter('a'), ops.parameter('b')),
  },
  'matMul of a stack and a matrix': {
    shapes: { a: [2, 3, 5, 4], b: [4, 2] },
    program: (ops) => ops.matMul(ops.parameter('a'), ops.parameter('b')),
  },
  'matMul of two stacks': {
    shapes: { a: [2, 3, 2, 4], b: [2, 3, 4, 5] },
    program: (ops) => ops.matMul(ops.parameter('a'), ops.parameter('b')),
  },
  affine: { shapes: { a: [2, 3] }, program: (ops) => ops.affine(ops.parameter('a'), -2.5, 0.75) },
  'affine that changes nothing': { shapes: { a: [2, 3] }, program: (ops) => ops.affine(ops.parameter('a'), 1) },
  exp: { shapes: { a: [2, 3] }, program: (ops) => ops.exp(ops.parameter('a')) },
  gelu: { shapes: { a: [4, 9] }, program: (ops) => ops.gelu(ops.parameter('a')), low: -4, high: 4 },
  softmax: { shapes: { a: [2, 3, 4] }, program: (ops) => ops.softmax(ops.parameter('a')), low: -3, high: 3 },
  logSoftmax: { shapes: { a: [3, 4] }, program: (ops) => ops.logSoftmax(ops.parameter('a')), low: -3, high: 3 },
  layerNorm: {
    shapes: { a: [2, 3, 8], gain: [8], offset: [8] },
    program: (ops) => ops.layerNorm(ops.parameter('a'), ops.parameter('gain'), ops.parameter('offset')),
  },
  normalise: { shapes: { a: [2, 3, 4] }, program: (ops) => ops.normalise(ops.parameter('a')) },
  transpose: { shapes: { a: [2, 3, 4, 2] }, program: (ops) => ops.transpose(ops.parameter('a'), [2, 0, 3, 1]) },
  reshape: { shapes: { a: [2, 3, 4] }, program: (ops) => ops.reshape(ops.parameter('a'), [0, -1, 2]) },
  concat: {
    shapes: { a: [2, 1, 3], b: [2, 4, 3], c: [2, 2, 3] },
    program: (ops) => ops.concat([ops.parameter('a'), ops.parameter('b'), ops.parameter('c')], 1),
  },
  'concat of a value with itself': {
    shapes: { a: [2, 3] },
    program: (ops) => ops.concat([ops.parameter('a'), ops.parameter('a')], 0),
  },
  firstRows: {
    shapes: { table: [5, 3], like: [2, 3, 3] },
    program: (ops) => ops.add(ops.parameter('like'), ops.firstRows(ops.parameter('table'), ops.parameter('like'))),
  },
  'firstRows of all rows': {
    shapes: { table: [3, 2], like: [2, 3, 2] },
    program: (ops) => ops.add(ops.parameter('like'), ops.firstRows(ops.parameter('table'), ops.parameter('like'))),
  },
  'sum of a middle axis': { shapes: { a: [2, 3, 4] }, program: (ops) => ops.sum(ops.parameter('a'), 1) },
  'a value that is used three times': {
    shapes: { a: [3, 3] },
    program: (ops) => {
      const a = ops.parameter('a')
      return ops.add(ops.matMul(a, ops.exp(a)), a)
    },
  },
}

const broadcasts: Record<string, readonly number[]> = {
  'equal shapes': [2, 3, 4],
  'the last axis': [4],
  'the last two axes': [3, 4],
  'the leading axes of 1': [1, 3, 1],
  'a column': [2, 3, 1],
  'an axis of 1 behind a missing one': [1, 4],
  'one value': [1],
}
for (const [name, shape] of Object.entries(broadcasts)) {
  const shapes = { a: [2, 3, 4], b: shape }
  const [low, high] = [0.5, 2]
  operations[`add over ${name}`] = { shapes, program: (ops) => ops.add(ops.parameter('a'), ops.parameter('b')) }
  operations[`multiply over ${name}`] = {
    shapes,
    program: (ops) => ops.multiply(ops.parameter('a'), ops.parameter('b')),
  }
  operations[`divide over ${name}`] = {
    shapes,
    program: (ops) => ops.divide(ops.parameter('a'), ops.parameter('b')),
    low,
    high,
  }
}
