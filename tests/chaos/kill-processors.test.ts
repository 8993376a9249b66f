import { killProcessors } from './scenarios/kill-processors.ts'
import { testShortForm } from './short-form.ts'

testShortForm(killProcessors)
