import { severalInstances } from './scenarios/several-instances.ts'
import { testShortForm } from './short-form.ts'

testShortForm(severalInstances)
